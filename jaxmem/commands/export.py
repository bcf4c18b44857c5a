"""`jaxmem export POLICY`."""

from jaxmem.commands import checked, tell_where, terminal
from jaxmem.evaluation.provenance import provenance
from jaxmem.export.c_source import HEADER, SOURCE, c_source, header
from jaxmem.export.cuda import cuda_files
from jaxmem.export.exported import Exported, read_exported
from jaxmem.export.rule_page import rule_page
from jaxmem.export.stablehlo import CARD, PROGRAM, card_text, program_of
from jaxmem.run_folder import RunFolder
from jaxmem.settings.verbs import ExportSettings

PAGE = "rule.md"


def run(settings: ExportSettings, command: str) -> int:
    """Writes the policy into a run folder."""
    console = terminal()
    exported = checked(read_exported, settings.policy, settings.threshold)
    files = checked(_files, exported, settings)
    out, overwrite = settings.out, settings.overwrite
    with checked(RunFolder, "export", exported.name, out, overwrite) as folder:
        for name, content in files.items():
            folder.write(name, content)
        folder.write_config(settings.plain(), command)
        results = {"command": command, "policy": exported.name, "files": list(files)}
        folder.write_results({**results, **provenance()})
    tell_where(console, folder.path, ", ".join(files))
    return 0


def _files(exported: Exported, settings: ExportSettings) -> dict[str, str | bytes]:
    """Returns what is written, by the names of the files."""
    if settings.to == "c":
        return {HEADER: header(), SOURCE: c_source(exported)}
    if settings.to == "cuda":
        return cuda_files(exported)
    if settings.to == "rule":
        return {PAGE: rule_page(exported)}
    program = program_of(exported, settings.holes)
    return {PROGRAM: program.serialized, CARD: card_text(exported, program)}
