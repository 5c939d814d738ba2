"""The importance of a search's dimensions (PED-ANOVA, by Optuna)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

from drilldown.search.dimensions import Dimension
from drilldown.search.sampler import Told, is_inside, optuna_distribution, quiet_optuna, ranks_of, to_optuna

LEAST_CANDIDATES = 20
"""With fewer candidates, the good ones are too few to say anything."""
GOOD_SHARE = 0.25
"""The share of the candidates that counts as good: five of twenty, which Optuna's authors ask for at least."""


def measure_importance(dimensions: Mapping[str, Dimension], told: Sequence[Told]) -> dict[str, float] | None:
    """The importance of each dimension, the largest first; they sum to 1.

    It compares the values of the best quarter of the candidates with those of all candidates, one dimension at a time
    (Watanabe, Bansal and Hutter, "PED-ANOVA", 2023). Like the sampler, it uses only ranks within a generation.

    *Returns* None with fewer than 20 candidates with results, or where nothing tells them apart.

    >>> from drilldown.search.dimensions import FloatRange
    >>> space = {"lr": FloatRange(0, 1), "other": FloatRange(0, 1)}
    >>> values = [{"lr": n / 40, "other": n * 7 % 40 / 40} for n in range(40)]
    >>> told = [Told(number=n, values=values[n], loss=1 + values[n]["lr"]) for n in range(40)]
    >>> next(iter(measure_importance(space, told)))
    'lr'
    """
    inside = [one for one in told if one.loss is not None and is_inside(dimensions, one.values)]
    ranks = ranks_of(inside)
    if len(inside) < LEAST_CANDIDATES or len(set(ranks.values())) < 2:
        return None
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    distributions = {name: optuna_distribution(dimension) for name, dimension in dimensions.items()}
    with quiet_optuna(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # many equal losses: Optuna warns that the importances will be equal
        study = optuna.create_study()
        study.add_trials(
            optuna.trial.create_trial(
                params={name: to_optuna(dimension, one.values[name]) for name, dimension in dimensions.items()},
                distributions=distributions,
                value=ranks[one.number],
            )
            for one in inside
        )
        found = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(target_quantile=GOOD_SHARE), normalize=False
        )
    total = math.fsum(found.values())
    if not total > 0:
        return None
    shares = {name: found.get(name, 0.0) / total for name in dimensions}
    return dict(sorted(shares.items(), key=lambda entry: -entry[1]))
