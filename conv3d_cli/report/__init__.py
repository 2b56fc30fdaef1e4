"""What was planned and what happened, as one document: JSON for programs, a table for people."""

from conv3d_cli.report.document import REPORT_VERSION, Context, plan_document, run_document
from conv3d_cli.report.schema import report_schema
from conv3d_cli.report.table import render

__all__ = ["REPORT_VERSION", "Context", "plan_document", "render", "report_schema", "run_document"]
