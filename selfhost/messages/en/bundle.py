"""Bundles: what is on a medium."""

from __future__ import annotations

from selfhost.messages import Text

MESSAGES: dict[str, Text] = {
    "bundle.bad_json": Text(
        what="`{path}` is damaged",
        why="{detail}",
        hint="check the medium: `python3 verify.py` in its folder; copy it again where it was made",
    ),
    "bundle.bad_info": Text(
        what="`{path}` does not describe a bundle",
        why="{detail}",
        hint="check the medium: `python3 verify.py` in its folder; copy it again where it was made",
    ),
    "bundle.newer": Text(
        what="`{path}` was written by a newer selfhost",
        why="format: {found}, known here: up to {known}",
        hint="install the selfhost that the bundle was made with",
    ),
    "bundle.bad_paths": Text(
        what="`{path}` names files that cannot be written",
        why="{detail}",
        hint="do not use it: who made it meant harm, or for another system; nothing was written",
    ),
    "bundle.no_room": Text(
        what="the volumes are too small for the bundle",
        why="a file of {size} has no place; left on them: {rooms}",
        hint="give larger volumes or more of them: `--volume-size 2T`, or `--to` once more",
    ),
    "bundle.bad_manifest": Text(
        what="`{path}` is not the list of an artifact",
        why="{detail}",
        hint="check the medium: `python3 verify.py` in its folder; copy it again where it was made",
    ),
}
