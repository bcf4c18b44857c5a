"""Names that were others before: what is said of an old one, and how old files are read."""

from typing import Any

SETTINGS = {  # of learners and networks
    "guide": "base_policy",
    "averaging": "ema_decay",
    "target_rate": "tau",
    "minimum": "learning_starts",
    "random_moves": "epsilon",
    "exploration": "exploration_fraction",
    "widths": "hidden_sizes",
    "blind": "hidden_feature_groups",
    "kept": "buffer_updates",
    "passes": "epochs",
    "pool": "oversampling",
}
RENAMED_KEYS = {
    "sweep": "grid",
    "workload.hints": "workload.lifetime_hints=class or =oracle",
    "workload.foretell": "workload.lifetime_hints=estimated",
}
RENAMED_VERBS = {"sweep": "search"}
RENAMED_RULES = {"segregated": "two_ended_tuned"}
CARD = {**SETTINGS, "foretells": "estimates_lifetimes"}
OWN_HINTS = {"call-sites": "class", "training-step": "oracle"}  # what `hints` was, by workload


def new_key(key: str) -> str | None:
    """Returns what a key of the command line is called now; None: as before."""
    group, dot, name = key.partition(".")
    if key in RENAMED_KEYS or not dot:
        return RENAMED_KEYS.get(key)
    above = RENAMED_KEYS.get(group, group)
    if above not in ("learner", "network", "grid", "space"):
        return None
    new = f"{above}.{SETTINGS.get(name, name)}"
    return None if new == key else new


def new_settings(found: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a learner or a network by their names of today."""
    settings = {SETTINGS.get(name, name): value for name, value in found.items()}
    rule = settings.get("base_policy")
    if isinstance(rule, str):
        settings["base_policy"] = RENAMED_RULES.get(rule, rule)
    return settings


def new_card(found: dict[str, Any]) -> dict[str, Any]:
    """Returns the card of a policy file by the names of today."""
    card = new_settings({CARD.get(name, name): value for name, value in found.items()})
    training = card.get("training")
    if isinstance(training, dict):
        training = dict(training)
        if "hinted" in training:
            shown = OWN_HINTS.get(str(training.get("workload")), "estimated")
            training["lifetime_hints"] = shown if training.pop("hinted") else "none"
        if isinstance(training.get("settings"), dict):
            training["settings"] = new_settings(training["settings"])
        card["training"] = training
    return card


def new_config(found: dict[str, Any]) -> dict[str, Any]:
    """Returns what a run was asked for by the names of today."""
    config = {RENAMED_KEYS.get(name, name): value for name, value in found.items()}
    for group in ("learner", "network", "grid", "space"):
        if isinstance(config.get(group), dict):
            config[group] = new_settings(config[group])
    workload = config.get("workload")
    if isinstance(workload, dict) and {"hints", "foretell"} & set(workload):
        workload = dict(workload)
        own, estimated = workload.pop("hints", False), workload.pop("foretell", False)
        shown = OWN_HINTS.get(str(workload.get("source")), "none") if own else "none"
        config["workload"] = {**workload, "lifetime_hints": "estimated" if estimated else shown}
    return config
