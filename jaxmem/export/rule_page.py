"""x"""

from jaxmem.export.exported import Exported


def rule_page(exported: Exported) -> str:
    raise ValueError("later")
