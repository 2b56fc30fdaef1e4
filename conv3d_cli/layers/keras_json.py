"""The user's Keras settings, ``~/.keras/keras.json``: the data format of layers that name none."""

from __future__ import annotations

import os

from conv3d_cli.errors import LayerError, quoted
from conv3d_cli.paths import joined, own_folder, text_of

FORMATS = ("channels_last", "channels_first")


def default_data_format() -> str:
    """Return ``image_data_format`` of keras.json in ``KERAS_HOME`` or ``~/.keras``, else channels_last.

    A file that cannot be read or is not JSON counts as none, as in Keras. Raises LayerError for another
    value.
    """
    path = joined(os.environ.get("KERAS_HOME") or own_folder(".keras"), "keras.json")
    try:
        text = text_of(path)
    except (OSError, ValueError, RuntimeError):
        return FORMATS[0]
    import json

    try:
        settings = json.loads(text)
    except (ValueError, RuntimeError):
        return FORMATS[0]
    value = settings.get("image_data_format", FORMATS[0]) if isinstance(settings, dict) else FORMATS[0]
    if value not in FORMATS:
        raise LayerError(
            f"data_format: unknown image_data_format in {quoted(path)}: got {value!r}, expected {' or '.join(FORMATS)}",
            "data_format",
        )
    return str(value)
