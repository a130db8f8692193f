"""The estimators on arrays: each against the gradient by enumeration, and known mistakes against the same certificate."""

import pickle

import numpy as np
import pytest

import relax_rl
from relax_rl import estimators

BITS = np.array([0.3, -0.7, 1.1])
WEIGHTS = np.array([1.0, 2.0, -3.0])
# Two choices among three, judged together.
CHOICES = np.array([[0.5, -0.2, 0.1], [-0.4, 0.9, 0.2]])
TABLE = np.array([[1.0, -2.0, 0.5], [0.3, -0.6, 1.5]])
FAMILIES = ["bernoulli", "categorical"]


def problem(family):
    """f, its gradient and its second derivative along a direction; the logits."""
    weights, logits = (WEIGHTS, BITS) if family == "bernoulli" else (TABLE, CHOICES)
    axes = tuple(range(-weights.ndim, 0))

    def along(x):
        return np.sum(x * weights, axis=axes)

    def f(x):
        return (along(x) - 0.4) ** 2

    def spread(numbers):
        return np.expand_dims(numbers, axes) * weights

    return f, lambda x: spread(2 * (along(x) - 0.4)), lambda x, t: spread(2 * along(t)), logits


def one_hot(samples, family):
    return samples if family == "bernoulli" else np.eye(3)[samples]


def drawn(family, logits, rng, rows=64, n=4, pairs=False):
    """`rows` times `n` samples of one distribution, and logits that broadcast to them."""
    size = (rows, n)
    draw = estimators.antithetic if pairs else estimators.sample
    return draw(logits, size, family=family, rng=rng), np.broadcast_to(logits, (rows, 1, *logits.shape))


def from_samples(name, family):
    """An estimator of (f, logits, rng) made of the functions that take samples and values: 64 independent estimates."""

    def estimator(f, logits, rng):
        samples, each = drawn(family, logits, rng, pairs=name == "disarm")
        if name == "disarm":
            values = [f(one_hot(side, family)) for side in samples]
            return estimators.disarm(each, *samples, *values, family=family)[:, 0]
        values = f(one_hot(samples, family))
        given = {"family": family}
        match name:
            case "reinforce":
                got = estimators.reinforce(each, samples, values, **given)
            case "number":
                got = estimators.reinforce(each, samples, values, baseline=5.0, **given)
            case "critic":
                critic = np.linspace(0, 8, len(values))[:, None]
                got = estimators.reinforce(each, samples, values, baseline=critic, **given)
            case "learned":
                got = estimators.reinforce(each, samples, values, baseline=LEARNED[family], **given)
            case "nvil":
                got = estimators.nvil(each, samples, values, baseline=2.0, signal=SIGNALS[family], **given)
            case "leave-one-out":
                got = estimators.leave_one_out(each, samples, values, **given)
            case "surrogate":
                free, _ = drawn(family, logits, rng, n=16)
                model = lambda b: np.sin(one_hot(b, family).reshape(*b.shape[:2], -1).sum(-1)) + b.reshape(*b.shape[:2], -1)[..., 0]  # noqa: E731
                got = estimators.surrogate(each, samples, values, model(samples), free, model(free), gain=0.8, **given)
            case "own sample":  # leave-one-out that leaves none out
                got = estimators.reinforce(each, samples, values, baseline=values.mean(-1, keepdims=True), **given)
        return got[:, 0]

    estimator.__name__ = name
    return estimator


LEARNED = {family: estimators.LearnedBaseline(0.02) for family in FAMILIES}
SIGNALS = {family: estimators.Signal(scaled=False) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["reinforce", "number", "critic", "learned", "nvil", "leave-one-out", "surrogate", "disarm"])
def test_what_takes_samples_is_unbiased(name, family):
    f, _, _, logits = problem(family)
    certificate = relax_rl.certify(from_samples(name, family), f, logits, family=family)
    assert not certificate.biased, certificate
    assert certificate.exact.shape == certificate.variance.shape == logits.shape and certificate.detectable < 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_injected_mistakes_are_found(family):
    f, slope, _, logits = problem(family)
    found = estimators.certify(from_samples("own sample", family), f, logits, family=family)
    assert found.biased and found.worst_z > 6 and "own sample: BIASED" in str(found)
    found = estimators.certify("concrete", f, logits, family=family, gradient=slope)
    assert found.biased and found.worst_z > 6
    right = from_samples("leave-one-out", family)
    found = estimators.certify(lambda *a: 1.1 * right(*a), f, logits, family=family)
    assert found.biased and found.worst_z > 4
    # The gradient may be known from elsewhere.
    assert not estimators.certify(right, f, logits, family=family, exact_gradient=found.exact).biased
    assert estimators.certify(right, f, logits, family=family, exact_gradient=1.2 * found.exact).biased


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", [name for name, entry in estimators.ESTIMATORS.items() if entry.unbiased])
def test_what_calls_a_function_is_unbiased_fresh_and_trained(name, family):
    f, slope, curve, logits = problem(family)
    needs = estimators.ESTIMATORS[name].needs
    known = {"gradient": slope} if needs["gradient"] else {}
    settings = {}
    if needs["surrogate"]:
        settings["surrogate"] = lambda x: 0.5 * f(x) + x.reshape(*x.shape[: x.ndim - logits.ndim], -1)[..., 0]
    off = {"baseline": 1.5} if name in ("baseline", "nvil") else {}
    certificate = estimators.certify(name, f, logits, family=family, detectable=0.1, **known, **settings, **off)
    assert not certificate.biased, certificate

    estimator = estimators.Estimator(name, family=family, seed=1, **settings)
    before = estimator.gain, estimator.temperature, estimator.baseline
    for _ in range(150):
        estimator(f, logits, samples=16, hessian_vector=curve if needs["relaxation"] else None, **known)
    learned = estimator.gain, estimator.temperature, estimator.baseline
    trained = estimators.certify(estimator, f, logits, detectable=0.1, **known)
    assert not trained.biased, trained
    assert learned == (estimator.gain, estimator.temperature, estimator.baseline)  # a certificate teaches nothing
    assert (learned != before) == (needs["relaxation"] or needs["surrogate"] or name in ("baseline", "nvil"))
    if name in ("baseline", "relax", "relaxed-rebar", "surrogate"):
        plain = estimators.certify("reinforce" if not needs["surrogate"] else "leave-one-out", f, logits, family=family, detectable=0.1)
        assert trained.variance.sum() < 0.8 * plain.variance.sum()


class Quadratic:
    """A control variate of a user's own, φ·(z·z), and the step down the variance."""

    def __init__(self):
        self.phi, self.slope = 0.3, 0.0

    def __call__(self, z):
        return self.phi * (z**2).sum(-1), 2 * self.phi * z

    def fit(self, z, alpha, beta):
        assert z.shape == beta.shape and alpha.shape == z.shape[:-1]
        self.slope += (alpha * (z**2).sum(-1)).sum() + (2 * beta * z).sum()


def test_a_control_variate_of_ones_own():
    f, _, _, logits = problem("bernoulli")
    for name in ("relax", "relax-coupled"):
        c = Quadratic()
        estimator = estimators.Estimator(name, family="bernoulli", control_variate=c, seed=3)
        assert not estimators.certify(estimator, f, logits).biased
        # The gradient by φ is the slope of the mean of ‖ĝ‖² with the noise held fixed.
        squares = []
        for phi in (0.3, 0.3 + 1e-6, 0.3 - 1e-6):
            c.phi, c.slope = phi, 0.0
            twin = pickle.loads(pickle.dumps(estimator))
            got = twin(f, logits, samples=50)
            squares.append(((got.each**2).sum(-1).mean(), twin._control_variate.slope))
        (_, slope), (high, _), (low, _) = squares
        assert slope == pytest.approx((high - low) / 2e-6, rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_exact_gradient_is_the_slope_of_the_mean(family):
    f, _, _, logits = problem(family)
    value, gradient = estimators.exact(f, logits, family=family)
    for index in np.ndindex(logits.shape):
        moved = [logits.copy(), logits.copy()]
        moved[0][index] += 1e-6
        moved[1][index] -= 1e-6
        high, low = (estimators.exact(f, at, family=family).value for at in moved)
        assert gradient[index] == pytest.approx((high - low) / 2e-6, abs=1e-8)
    samples = estimators.sample(logits, 200_000, family=family, rng=0)
    assert f(one_hot(samples, family)).mean() == pytest.approx(value, rel=0.02)
    with pytest.raises(ValueError, match="at most 20 variables are enumerated"):
        estimators.exact(f, np.zeros(21), family="bernoulli")
    with pytest.raises(ValueError, match="cannot be enumerated"):
        estimators.exact(f, np.zeros((14, 3)), family="categorical")


def softmax(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def test_texts_of_tokens_are_scored_as_wholes():
    """Two prompts, four answers each, five tokens of seven: the shapes of language models."""
    rng = np.random.default_rng(0)
    logits, samples = rng.normal(size=(2, 4, 5, 7)), rng.integers(7, size=(2, 4, 5))
    values = rng.normal(size=(2, 4))
    score = np.eye(7)[samples] - softmax(logits)
    baseline = (values.sum(-1, keepdims=True) - values) / 3
    assert np.allclose(estimators.leave_one_out_baseline(values), baseline)
    got = estimators.leave_one_out(logits, samples, values, family="categorical")
    assert got.shape == logits.shape and np.allclose(got, score * (values - baseline)[..., None, None])
    # What shares logits is gathered: the mean over answers, the sum over tokens.
    shared = rng.normal(size=(2, 1, 1, 7))
    score = np.eye(7)[samples] - softmax(shared)
    got = estimators.reinforce(shared, samples, values, family="categorical")
    whole = (score * values[..., None, None]).mean(1, keepdims=True).sum(2, keepdims=True)
    assert got.shape == shared.shape and np.allclose(got, whole)
    got = estimators.reinforce(shared[0, 0, 0], samples, values, family="categorical")
    score = np.eye(7)[samples] - softmax(shared[0, 0, 0])
    assert np.allclose(got, (score * values[..., None, None]).mean((0, 1)).sum(0))


def test_blocks_of_many_rows_are_the_rows():
    rng = np.random.default_rng(1)
    for shape in [(9_000, 3), (3, 20_000)]:
        logits, bits = rng.normal(size=shape), rng.integers(2, size=shape)
        values, outcomes = rng.normal(size=shape[0]), rng.integers(shape[1], size=shape[0])
        got = estimators.reinforce(logits, bits, values, family="bernoulli")
        assert np.allclose(got, (bits - 1 / (1 + np.exp(-logits))) * values[:, None])
        score = -softmax(logits)
        score[np.arange(shape[0]), outcomes] += 1
        got = estimators.reinforce(logits, outcomes, values, family="categorical")
        assert np.allclose(got, score * values[:, None])


@pytest.mark.parametrize("family", FAMILIES)
def test_types_and_memory_orders_make_no_difference(family):
    f, slope, _, logits = problem(family)
    samples = estimators.sample(logits, 32, family=family, rng=5)
    values = f(one_hot(samples, family))
    wide = estimators.leave_one_out(logits, samples, values, family=family)
    narrow = estimators.leave_one_out(logits.astype(np.float32), samples.astype(np.int16), values.tolist(), family=family)
    assert wide.dtype == np.float64 and narrow.dtype == np.float32 and np.allclose(wide, narrow, rtol=1e-4, atol=1e-4)
    strided = np.asfortranarray(np.repeat(logits, 2, axis=-1))[..., ::2]
    assert np.array_equal(estimators.leave_one_out(strided, samples, values, family=family), wide)
    kinds = []

    def watched(x):
        kinds.append(x.dtype)
        return f(x)

    got = estimators.estimate("rebar", watched, logits.astype(np.float32), family=family, rng=0, samples=8, gradient=slope)
    same = estimators.estimate("rebar", f, logits.astype(np.float32).astype(float), family=family, rng=0, samples=8, gradient=slope)
    assert got.gradient.dtype == np.float32 and set(kinds) == {np.dtype(np.float32)} and np.allclose(got.gradient, same.gradient, atol=1e-3)
    assert got.gradient.shape == logits.shape and got.each.shape == got.samples.shape == (8, *logits.shape) and got.values.shape == (8,)


def test_problems_of_their_own_are_estimated_together():
    """Each of a batch as if alone, with the batch's baselines."""
    targets = np.array([[0.1, 0.8], [0.4, -0.3], [2.0, 1.0]])
    logits = np.array([[0.5, -0.5], [1.0, 0.2], [-0.3, 0.0]])
    truth = [estimators.exact(lambda x, t=t: ((x - t) ** 2).sum(-1), l, family="bernoulli").gradient for t, l in zip(targets, logits, strict=True)]

    def f(x):
        assert x.shape == (3, 5000, 2)
        return ((x - targets[:, None]) ** 2).sum(-1)

    for name, given in [("leave-one-out", {}), ("nvil", {"baseline": (targets**2).sum(-1)}), ("disarm", {}), ("relax", {})]:
        got = estimators.Estimator(name, family="bernoulli")(f, logits, samples=5000, batch_axes=1, **given)
        error = got.each.std(1) / np.sqrt(5000)
        assert got.gradient.shape == (3, 2) and (np.abs(got.gradient - truth) < 5 * error + 1e-9).all()
    with pytest.raises(ValueError, match="leave batch_axes out"):
        estimators.Estimator("relax", family="bernoulli")(lambda x: np.zeros(8), logits, samples=8, batch_axes=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_outcomes_may_be_ruled_out(family):
    f, slope, _, logits = problem(family)
    masked = logits.copy()
    masked[..., 0] = -np.inf
    truth = estimators.exact(f, masked, family=family).gradient
    assert (truth[..., 0] == 0).all() and np.isfinite(truth).all()
    for name in ["reinforce", "leave-one-out", "disarm", "rebar", "relax"]:
        known = {"gradient": slope} if name == "rebar" else {}
        found = estimators.certify(name, f, masked, family=family, **known)
        assert not found.biased and (found.mean[..., 0] == 0).all(), found
    samples = estimators.sample(masked, 1000, family=family, rng=0)
    assert (samples[..., 0] == 0).all() if family == "bernoulli" else (samples != 0).all()
    assert np.isfinite(estimators.leave_one_out(masked, samples, f(one_hot(samples, family)), family=family)).all()
    if family == "categorical":
        with pytest.raises(ValueError, match="logits of -inf rule out"):
            estimators.reinforce(masked, np.zeros((3, 2), int), np.zeros(3), family=family)


def test_what_was_learned_is_pickled_and_goes_on():
    f, slope, curve, logits = problem("categorical")
    for name in ["baseline", "nvil", "relaxed-rebar", "relax-coupled", "surrogate"]:
        settings = {"surrogate": np_sum} if name == "surrogate" else {}
        known = {"gradient": slope, "hessian_vector": curve} if name == "relaxed-rebar" else {}
        one = estimators.Estimator(name, family="categorical", seed=2, hidden=(8, 8), **settings)
        for _ in range(5):
            one(f, logits, samples=4, **known)
        two = pickle.loads(pickle.dumps(one))
        for _ in range(5):
            assert one(f, logits, samples=4, **known).each.tobytes() == two(f, logits, samples=4, **known).each.tobytes()
        assert (one.gain, one.temperature, one.baseline) == (two.gain, two.temperature, two.baseline) and name in repr(two)
    baseline, signal = estimators.LearnedBaseline(0.5, "variance"), estimators.Signal()
    samples = estimators.sample(logits, 8, family="categorical", rng=0)
    for _ in range(3):
        estimators.reinforce(logits, samples, np.arange(8.0), family="categorical", baseline=baseline)
        estimators.nvil(logits, samples, np.arange(8.0), family="categorical", baseline=1.0, signal=signal)
    assert 0 < baseline.value < 7 and signal.centre == 2.5 and signal.scale > 1
    assert pickle.loads(pickle.dumps(baseline)).value == baseline.value
    twin = pickle.loads(pickle.dumps(signal))
    assert (twin.centre, twin.scale) == (signal.centre, signal.scale)


def np_sum(x):
    return x[..., 1].sum(-1)


def test_generators_and_seeds():
    logits = np.zeros(40)
    draw = lambda rng: estimators.sample(logits, family="bernoulli", rng=rng)  # noqa: E731
    rng = np.random.default_rng(3)
    assert np.array_equal(draw(3), draw(3)) and not np.array_equal(draw(3), draw(4)) and not np.array_equal(draw(rng), draw(rng))
    samples, opposites = estimators.antithetic(logits, (2, 3), family="bernoulli", rng=0)
    assert samples.shape == (2, 3, 40) and (samples + opposites == 1).all()  # θ = ½: always the other


def test_mistakes_are_named():
    f, slope, _, logits = problem("bernoulli")
    samples, values = estimators.sample(logits, 4, family="bernoulli", rng=0), np.arange(4.0)
    E = estimators.Estimator

    def reinforce(logits=logits, samples=samples, values=values, family="bernoulli", **given):
        return estimators.reinforce(logits, samples, values, family=family, **given)

    def call(f=f, name="reinforce", **given):
        return E(name, family="bernoulli")(f, logits, **given)

    for wrong, kind, says in [
        (lambda: reinforce(family="gaussian"), ValueError, "family is 'gaussian', and must be"),
        (lambda: estimators.reinforce(logits, samples, values), TypeError, "family"),
        (lambda: reinforce(logits=[0.1, np.nan, 0]), ValueError, r"logits is nan at \(1,\)"),
        (lambda: reinforce(logits=["a"]), TypeError, "logits must be an array of numbers"),
        (lambda: reinforce(logits=[]), ValueError, "logits has the shape .*empty"),
        (lambda: reinforce(values=[0, 1, np.inf, 2]), ValueError, r"values is inf at \(2,\)"),
        (lambda: reinforce(values=[0, 1, np.nan, 2]), ValueError, r"values is nan at \(2,\)"),
        (lambda: reinforce(values=np.zeros(3)), ValueError, r"samples has the shape \(4, 3\) and values \(3,\)"),
        (lambda: reinforce(logits=np.zeros(5)), ValueError, r"logits of the shape \(5,\) do not fit samples of the shape \(4, 3\)"),
        (lambda: reinforce(samples=samples + 1), ValueError, "Bernoulli variables are 0 or 1"),
        (lambda: reinforce(samples=samples + 0.5), ValueError, "samples is .* Bernoulli variables are 0 or 1"),
        (lambda: reinforce(samples=[3, 0, 0, 0], family="categorical"), ValueError, "there are 3 outcomes"),
        (lambda: reinforce(samples=[-1, 0, 0, 0], family="categorical"), ValueError, "samples is -1"),
        (lambda: reinforce(samples=[0.5, 0, 0, 0], family="categorical"), ValueError, "numbers of outcomes"),
        (lambda: reinforce(logits=1.0, family="categorical"), ValueError, "axis of outcomes"),
        (lambda: reinforce(logits=[np.inf, 0, 0], samples=[0, 0, 0, 0], family="categorical"), ValueError, "ruled out by -inf"),
        (lambda: reinforce(logits=[-np.inf] * 3, samples=[0, 0, 0, 0], family="categorical"), ValueError, "-inf for every outcome"),
        (lambda: reinforce(baseline=np.zeros(3)), ValueError, r"baseline has the shape \(3,\), and must have that of values"),
        (lambda: estimators.leave_one_out(logits, samples[0], 1.0, family="bernoulli"), ValueError, "two samples or more"),
        (lambda: estimators.leave_one_out_baseline([[1.0], [2.0]]), ValueError, "two samples or more"),
        (lambda: estimators.disarm(logits, samples, samples[:2], values, values, family="bernoulli"), ValueError, "opposites has the shape"),
        (lambda: estimators.LearnedBaseline(0), ValueError, "learning_rate is 0"),
        (lambda: estimators.LearnedBaseline(0.1, "mean"), ValueError, "objective is 'mean'"),
        (lambda: estimators.Signal(1.0), ValueError, "decay"),
        (lambda: estimators.sample(logits, family="bernoulli", rng=None), TypeError, "rng, unless it is"),
        (lambda: E("rebarr", family="bernoulli"), ValueError, "there is no estimator 'rebarr'; there are reinforce"),
        (lambda: E("surrogate", family="bernoulli"), ValueError, "surrogate needs surrogate=…"),
        (lambda: E("reinforce", family="bernoulli", control_variate=f), ValueError, "no use for a control variate"),
        (lambda: E("relax", family="bernoulli", temperature=0), ValueError, "temperature is 0"),
        (lambda: call(name="rebar"), ValueError, "rebar needs gradient=…"),
        (lambda: call(name="leave-one-out", samples=1), ValueError, "leave-one-out compares samples"),
        (lambda: call(baseline=1.0), ValueError, "takes no baseline of the problems"),
        (lambda: call(batch_axes=1), ValueError, "batch_axes is 1"),
        (lambda: call(lambda x: 1.0), ValueError, r"f returned an array of the shape \(\), and must return \(1,\)"),
        (lambda: call(lambda x: np.full(1, np.nan)), ValueError, r"f returned nan at \(0,\)"),
        (lambda: call(lambda x: "x"), TypeError, "f returned 'x', and must return"),
        (lambda: call(lambda x: 1 // 0), ZeroDivisionError, ""),
        (lambda: call(name="rebar", gradient=lambda x: x[:, 0]), ValueError, "gradient returned an array of the shape"),
        (lambda: E("relax", family="bernoulli", control_variate=f)(f, logits), TypeError, "must return its values and its gradients"),
        (lambda: estimators.certify("reinforce", f, logits), TypeError, "certify needs family"),
        (lambda: estimators.certify("reinforce", f, logits, family="bernoulli", alarm=1), ValueError, "alarm is 1"),
        (lambda: estimators.certify("reinforce", None, logits, family="bernoulli"), ValueError, "neither f to enumerate"),
        (lambda: estimators.certify(lambda *a: np.zeros(2), f, logits, family="bernoulli"), ValueError, r"shape \(2,\), and must return \(3,\)"),
        (lambda: estimators.certify(lambda *a: np.full(3, np.nan), f, logits, family="bernoulli"), ValueError, "must be finite"),
        (lambda: estimators.certify(lambda *a: 1 // 0, f, logits, family="bernoulli"), ZeroDivisionError, ""),
        (lambda: estimators.certify(lambda *a: logits, f, logits, family="bernoulli", samples=3), TypeError, "takes no samples"),
        (lambda: estimators.certify(E("relax", family="bernoulli"), f, logits, family="categorical"), ValueError, "the estimator's is"),
        (lambda: estimators.certify("relax", f, logits, family="bernoulli", exact_gradient=[1.0]), ValueError, "exact_gradient has the shape"),
    ]:
        with pytest.raises(kind, match=says or None):
            wrong()
    relax = E("relax", family="bernoulli")
    relax(f, logits)
    with pytest.raises(ValueError, match="control variate is one of 3 numbers, but f is one of 2 now"):
        relax(lambda x: x.sum(-1), logits[:2])
