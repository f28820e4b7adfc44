"""What the paper states without simulating."""

from bprr.settings.configuration import load_settings
from bprr.study.theory import LOADS, theory


def test_bounds_and_sizes() -> None:
    checks = theory(load_settings())
    values = checks.groupby("check")["value"]
    assert (values.min()["corollary_1"], values.max()["corollary_1"]) == (1, 1)
    assert abs(values.max()["lemma_3"] - 1) < 1e-9
    # Products with a constant at the client's end need no column: fewer than the formula.
    assert 0.9 < values.min()["milp_variables"] <= values.max()["milp_variables"] < 1
    assert len(checks.query("check == 'lemma_3'")) == 4 * len(LOADS)
    sessions = checks.query("check == 'sessions'").set_index("case")["value"]
    assert sessions.to_dict() == {"80": 21, "79.13": 19, "86.13": 35}
    assert 771 < values.min()["prefill_tokens_per_s"] < 772
