"""The paper as pure functions of tensors: noise, losses, attention maps, union sampling."""
