"""A CUDA device made of the CPU, for tests and counts; each use needs a process of its own.

`emulated_cuda()` (module `emulate`) must be imported before torch.
"""
