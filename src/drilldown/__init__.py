"""drilldown: a lab for image classifiers that are tiny on purpose."""

from drilldown.loading import load
from drilldown.train import Training

__all__ = ["Training", "load"]
