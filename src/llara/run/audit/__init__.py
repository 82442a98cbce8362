"""What a trained model goes by: its answers when parts of what it reads are exchanged, shuffled or left out."""

from llara.run.audit.page import save_audit
from llara.run.audit.probes import Audit, LeftOut, Probe, audit_run
from llara.run.audit.running import AUDIT_FOLDER, audit_finished

__all__ = ["AUDIT_FOLDER", "Audit", "LeftOut", "Probe", "audit_finished", "audit_run", "save_audit"]
