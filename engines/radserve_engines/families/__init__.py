"""The model families: one table of what each needs, and how text and images become its inputs.

`table` and `image_tokens` are on the serving path and need no torch; `model_inputs` does.
"""

from radserve_engines.families.table import (
    Family,
    family_named,
    family_of,
    list_families,
    read_settings,
)

__all__ = ["Family", "family_named", "family_of", "list_families", "read_settings"]
