"""OpenVINO without its telemetry: importing it tells Google Analytics so, and writes to ~/intel.

It goes without where the package `openvino_telemetry` cannot be imported, and remembers that for as
long as the process lives. A program that has imported OpenVINO before has done so on its own terms.
"""

import sys

_TELEMETRY = "openvino_telemetry"

_before = sys.modules.get(_TELEMETRY)
sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # no such package, until it is imported
try:
    import openvino
    from openvino import opset13 as op
finally:
    if _before is None:
        del sys.modules[_TELEMETRY]
    else:
        sys.modules[_TELEMETRY] = _before

__all__ = ["op", "openvino"]
