"""Prints the rows of tests/reference.rs, and those of kappa in src/kappa.rs, from an independent implementation: SciPy and statsmodels.

    python -m venv venv && venv/bin/pip install scipy statsmodels && venv/bin/python reference.py
"""

import numpy as np
import scipy
import statsmodels
import statsmodels.api as sm
from scipy.stats import beta, t
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import proportion_confint

print(f"scipy {scipy.__version__}, statsmodels {statsmodels.__version__}")

for level in (0.9, 0.95, 0.99):
    for k, n in ((0, 1), (1, 1), (0, 20), (1, 20), (5, 10), (7, 100), (100, 100), (973, 1000), (12, 100000)):
        alpha = 1 - level
        wilson = proportion_confint(k, n, alpha, method="wilson")
        exact = proportion_confint(k, n, alpha, method="beta")
        low = 0.0 if k == 0 else beta.ppf(alpha / 2, k + 0.5, n - k + 0.5)
        high = 1.0 if k == n else beta.ppf(1 - alpha / 2, k + 0.5, n - k + 0.5)
        ends = [*wilson, *exact, low, high]
        print(f"({k}, {n}, {level}, [" + ", ".join(f"{end:.12f}" for end in ends) + "]),")

# Clustered: an intercept-only regression with clustered errors (statsmodels' cov_type "cluster" with group
# correction g/(g-1) and no correction for parameters) gives the variance; the rest is arithmetic. The last row has the
# rarer outcome in three clusters only.
for clusters in (
    [(0, 4), (1, 4), (4, 4), (2, 4), (0, 4), (3, 4), (4, 4), (0, 4), (0, 4), (1, 4)],
    [(1, 2), (0, 3), (5, 5), (0, 1), (2, 7), (0, 4), (1, 1), (3, 3), (0, 2), (0, 6), (2, 2), (1, 9)],
    [(1, 5)] * 2 + [(3, 5)] + [(0, 5)] * 17,
):
    outcomes = np.concatenate([[1.0] * k + [0.0] * (n - k) for k, n in clusters])
    groups = np.concatenate([[i] * n for i, (_, n) in enumerate(clusters)])
    fit = sm.OLS(outcomes, np.ones_like(outcomes)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    g, p = len(clusters), outcomes.mean()
    variance = fit.cov_params()[0, 0] * g / (g - 1)
    effective = p * (1 - p) / variance
    rarer = min(sum(k > 0 for k, _ in clusters), sum(k < n for k, n in clusters))
    if effective > g:
        share = min(rarer / 10, 1)
        effective = 1 / (share / effective + (1 - share) / g)
    q = t.ppf(0.975, g - 1)
    centre = (p + q * q / (2 * effective)) / (1 + q * q / effective)
    half = q * np.sqrt(p * (1 - p) / effective + (q / (2 * effective)) ** 2) / (1 + q * q / effective)
    print(f"(&{clusters}, [{p:.12f}, {effective:.12f}, {centre - half:.12f}, {centre + half:.12f}]),")

# Coverage of Wilson's interval at single rates and its mean over 999 rates, by enumeration.
for n in (20, 50, 100):
    ends = [proportion_confint(k, n, 0.05, method="wilson") for k in range(n + 1)]

    def coverage(p):
        pmf = scipy.stats.binom.pmf(range(n + 1), n, p)
        return sum(mass for mass, (low, high) in zip(pmf, ends) if low <= p <= high)

    mean = np.mean([coverage(i / 1000) for i in range(1, 1000)])
    print(f"({n}, {coverage(0.01):.9f}, {mean:.9f}),")

# Cohen's kappa with its large-sample interval, by statsmodels.
for table in (
    [[20, 5, 0], [10, 15, 0], [0, 0, 0]],
    [[18, 2, 0], [1, 9, 0], [0, 0, 0]],
    [[53, 5, 2], [11, 14, 5], [1, 6, 3]],
    [[10, 3, 2], [1, 12, 2], [0, 0, 0]],
    [[1, 14, 0], [13, 2, 0], [0, 0, 0]],
):
    used = [i for i in range(3) if sum(table[i]) + sum(row[i] for row in table) > 0]
    counts = np.array(table)[np.ix_(used, used)]
    agreement = cohens_kappa(counts)
    half = scipy.stats.norm.ppf(0.975) * agreement.std_kappa
    ends = [agreement.kappa, max(agreement.kappa - half, -1), min(agreement.kappa + half, 1)]
    print(f"({table}, [" + ", ".join(f"{end:.12f}" for end in ends) + "]),")

# The mean of paired differences with Student's interval, by SciPy.
for level, differences in (
    (0.95, [0.1, -0.2, 0.4, 0.3, 0.0]),
    (0.9, [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, -1.0]),
    (0.95, [12.5, 13.25, 11.75, 12.0, 14.5, 12.25, 13.0, 12.75, 12.5, 13.5]),
    (0.99, [-3e-4, -1e-4, -2e-4, -2.5e-4, -1.5e-4, -4e-4]),
):
    ends = scipy.stats.ttest_1samp(differences, 0).confidence_interval(level)
    print(f"({level}, &{differences}, [{np.mean(differences):.12g}, {ends.low:.12g}, {ends.high:.12g}]),")
