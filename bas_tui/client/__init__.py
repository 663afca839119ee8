"""The front ends' way to the engine: make, start, follow and command runs; ask for pictures.

Nothing here imports torch or textual, needs an event loop, or can harm a host: a host neither knows
nor waits for its viewers. All functions may be called from any thread.
"""

from bas_tui.client.additions import (
    addition_options,
    located,
    read_additions,
    recall_additions,
    with_one_more,
)
from bas_tui.client.bases import resolve_base
from bas_tui.client.create import change_settings, create_run, tidy
from bas_tui.client.exchange import Exchange, ExportOrder, ImportOrder
from bas_tui.client.follow import follow
from bas_tui.client.generator import Generator
from bas_tui.client.host_process import send, start_host, wait_until_gone
from bas_tui.client.prompt_checks import (
    check_edit,
    check_learned,
    check_photo,
    check_prompt,
    check_request,
    token_names,
    unnamed_places,
)
from engine.runs.requests import GenerationRequest, PhotoEdit, ThingPlace

# `client.segmenter` is imported by name where it is used: numpy would cost every command a start.

__all__ = [
    "Exchange",
    "ExportOrder",
    "GenerationRequest",
    "Generator",
    "ImportOrder",
    "PhotoEdit",
    "ThingPlace",
    "addition_options",
    "change_settings",
    "check_edit",
    "check_learned",
    "check_photo",
    "check_prompt",
    "check_request",
    "create_run",
    "follow",
    "located",
    "read_additions",
    "recall_additions",
    "resolve_base",
    "send",
    "start_host",
    "tidy",
    "token_names",
    "unnamed_places",
    "wait_until_gone",
    "with_one_more",
]
