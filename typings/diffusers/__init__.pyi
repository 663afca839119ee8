# diffusers annotates much of itself wrongly (torch.FloatTensor for every tensor, tuple[int] for
# tuples of any length, unions for what `return_dict` decides), so its names count as untyped.
from typing import Any

def __getattr__(name: str) -> Any: ...
