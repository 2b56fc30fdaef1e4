"""What was planned and what happened, as one document: JSON for programs, a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.lazily import exports

if TYPE_CHECKING:
    from conv3d_cli.report.batch import BatchFacts as BatchFacts
    from conv3d_cli.report.batch import batch_document as batch_document
    from conv3d_cli.report.batch import batch_schema as batch_schema
    from conv3d_cli.report.batch import render_batch as render_batch
    from conv3d_cli.report.comparison import Checked as Checked
    from conv3d_cli.report.comparison import comparison_document as comparison_document
    from conv3d_cli.report.comparison import comparison_schema as comparison_schema
    from conv3d_cli.report.comparison import render_comparison as render_comparison
    from conv3d_cli.report.document import REPORT_VERSION as REPORT_VERSION
    from conv3d_cli.report.document import Context as Context
    from conv3d_cli.report.document import plan_document as plan_document
    from conv3d_cli.report.document import run_document as run_document
    from conv3d_cli.report.document import unwritten as unwritten
    from conv3d_cli.report.document import with_history as with_history
    from conv3d_cli.report.document import with_output as with_output
    from conv3d_cli.report.schema import report_schema as report_schema
    from conv3d_cli.report.table import render as render

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "batch": "BatchFacts batch_document batch_schema render_batch",
        "comparison": "Checked comparison_document comparison_schema render_comparison",
        "document": "REPORT_VERSION Context plan_document run_document unwritten with_history with_output",
        "schema": "report_schema",
        "table": "render",
    },
)
