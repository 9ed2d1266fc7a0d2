"""``headwater inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headwater.cli.display import display, say
from headwater.cli.options import Label, Quiet, Set

__all__ = ["inspect"]


def inspect(
    data: str,
    /,
    *,
    label: Label = None,
    schema: Annotated[
        Path | None, Parameter(help="write the detected schema here; edit it, give it back to fit")
    ] = None,
    sheet: Annotated[Path | None, Parameter(help="write a PNG of what a model will see")] = None,
    set_: Set = (),
    quiet: Quiet = False,
) -> None:
    """Show what the data is: kind, shapes, columns, splits, duplicates, problems, memory, what a model will see.

    Args:
        data: File or folder.
    """
    from headwater.api import gather_settings
    from headwater.data import inspect as inspect_data
    from headwater.errors import UsageError

    settings = gather_settings(assignments=set_, explicit={"data.label": label, "data.path": data})
    inspection = inspect_data(data, settings.data, progress=display(quiet=quiet))
    say(str(inspection))
    if schema is not None:
        inspection.schema.write(schema)
        say(f"schema written to {schema}; after editing: headwater fit {data} --set data.schema_path={schema}")
    if sheet is not None:
        picture = inspection.sheet()
        if picture is None:
            raise UsageError("Only pictures have a sheet; this data is none.", hint="Leave --sheet out.")
        picture.save(sheet)
        say(f"sheet written to {sheet}")
