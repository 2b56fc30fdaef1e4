"""What was planned and what happened, as one document: JSON for programs, a table for people."""

from conv3d_cli.report.batch import BatchFacts, batch_document, batch_schema, render_batch
from conv3d_cli.report.comparison import Checked, comparison_document, comparison_schema, render_comparison
from conv3d_cli.report.document import REPORT_VERSION, Context, plan_document, run_document, with_history
from conv3d_cli.report.schema import report_schema
from conv3d_cli.report.table import render

__all__ = [
    "REPORT_VERSION",
    "BatchFacts",
    "Checked",
    "Context",
    "batch_document",
    "batch_schema",
    "comparison_document",
    "comparison_schema",
    "plan_document",
    "render",
    "render_batch",
    "render_comparison",
    "report_schema",
    "run_document",
    "with_history",
]
