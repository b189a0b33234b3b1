"""pi-VAE: a Poisson variational autoencoder whose latent has a prior that depends on the movement.

Zhou & Wei, NeurIPS 2020, in the convolutional form that the NER paper compares with (SCIENCE, section 4).
The estimator; its networks and their loss are in `nerlib.models._vae`.
"""

from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data
from tqdm import trange

from nerlib.models._vae import Model, centred_windows, gaussian_product
from nerlib.models.encoded import _device, _single_thread, _tensor, check_number, check_trial, seeded

_BLOCK = 8_192  # bins a forward pass of transform
_FLOATS = [np.float32, np.float64]


class PiVAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """pi-VAE in its convolutional form: rates in a window to a Gaussian over the latent.

    `transform` embeds by the encoder alone, the mean of q(z|x). `published_embedding` is the mean of
    q(z|x,u), the posterior: it is given the true labels, so what is decoded from it on held-out data is no
    prediction.

    `fit` trains on all trials it is given and keeps the last epoch; of the paper's 60/20/20 split, that is
    the 60 and the validation 20.

    Parameters
    ----------
    n_components : int, dimensions of the latent; at most the number of neurons
    window : int, bins that the encoder sees, the current one in the middle; zeros beyond the trial's ends
    max_iter : int, epochs (the paper: 300)
    batch_size : int, bins a step
    learning_rate : float, Adam's rate (the paper: 2.5e-4)
    scale_labels : bool, whether the prior sees each label column at mean 0 and s.d. 1 (the paper: False;
        millimetres a second and degrees drive its tanh units into saturation)
    random_state : int, RandomState or None
    device : "auto" (a GPU if there is one), "cpu", "cuda", …
    verbose : bool, show a progress bar

    Attributes
    ----------
    model_ : torch module, fitted: prior, encoder and decoder
    label_centre_, label_spread_ : float arrays (k,), what scales the labels
    loss_curve_ : float array (n_iter_,), the negative evidence lower bound of each epoch, nats a bin
    kl_curve_ : float array (n_iter_,), its KL part: what the latent holds beyond the labels, nats a bin
    n_iter_ : int, epochs taken
    n_features_in_ : int, neurons
    """

    def __init__(
        self,
        n_components=3,
        *,
        window=10,
        max_iter=300,
        batch_size=200,
        learning_rate=2.5e-4,
        scale_labels=True,
        random_state=None,
        device="auto",
        verbose=False,
    ):
        self.n_components = n_components
        self.window = window
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.scale_labels = scale_labels
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X, y, trial=None):
        """Train prior, encoder and decoder together.

        Parameters
        ----------
        X : array (T, N), rates (spikes/bin), not negative
        y : array (T, k) or (T,), labels; those of the paper are velocity x, y (mm/s), direction (degrees)
        trial : int array (T,) or None, which trial each bin belongs to; a window never crosses trials.
            None: one uninterrupted stretch

        Raises
        ------
        ValueError, TypeError : parameters out of range, NaN, negative rates, fewer neurons than dimensions,
            lengths that disagree, training that diverged
        """
        self._check_parameters()
        X, labels, trial = self._check_data(X, y, trial, ensure_min_features=max(2, self.n_components))
        check_non_negative(X, "PiVAE.fit, whose rates are counts")
        self.label_centre_, self.label_spread_ = np.zeros(labels.shape[1]), np.ones(labels.shape[1])
        if self.scale_labels:
            spread = labels.std(0)
            self.label_centre_, self.label_spread_ = labels.mean(0), np.where(spread > 0, spread, 1)
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=2)
        with seeded(int(seeds[0])):
            model = Model(X.shape[1], labels.shape[1], self.n_components, self.window)
        self.model_ = model.to(_device(self.device))
        with _single_thread():
            self.loss_curve_, self.kl_curve_ = self._train(X, labels, trial, int(seeds[1]))
        self.n_iter_ = self.max_iter
        return self

    def _train(self, X, labels, trial, seed):
        model, n_bins, device = self.model_, len(X), _device(self.device)
        gather = centred_windows(_tensor(X).to(device), trial, self.window)
        labels = self._scaled(labels, device)
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(model.parameters(), lr=self.learning_rate, fused=True)
        curves = np.empty((2, self.max_iter))
        for epoch in trange(self.max_iter, desc=type(self).__name__, disable=not self.verbose):
            total = torch.zeros(2, device=device)
            for bins in torch.randperm(n_bins, generator=generator).split(self.batch_size):
                noise = torch.randn(len(bins), self.n_components, generator=generator).to(device)
                bins = bins.to(device)
                optimizer.zero_grad()
                loss, kl = model(gather(bins), labels[bins], noise)
                loss.backward()
                optimizer.step()
                total += torch.stack([loss, kl]).detach() * len(bins)
            curves[:, epoch] = total.cpu().numpy() / n_bins
            if not np.isfinite(curves[0, epoch]):
                raise ValueError(
                    f"training diverged in epoch {epoch} (loss is not finite) with "
                    f"learning_rate={self.learning_rate}; lower it, or check the scale of the rates"
                )
        return curves

    def transform(self, X, trial=None):
        """Embed rates (T, N) without labels: the mean of q(z|x), float32 array (T, n_components)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=_FLOATS)
        return self._embed(X, None, check_trial(trial, len(X)))

    def published_embedding(self, X, y, trial=None):
        """The published form: the mean of q(z|x,u) given the true labels, float32 array (T, n_components).

        Not to be believed for held-out data: where the prior is far sharper than the encoder, this is
        nearly a function of the labels alone. ``kl_curve_`` tells how nearly.
        """
        check_is_fitted(self)
        X, labels, trial = self._check_data(X, y, trial, reset=False)
        if labels.shape[1] != len(self.label_centre_):
            raise ValueError(
                f"y has {labels.shape[1]} label columns, but fit was given {len(self.label_centre_)}"
            )
        return self._embed(X, labels, trial)

    def fit_transform(self, X, y, trial=None):
        """Train, then embed the same rates, without their labels."""
        return self.fit(X, y, trial).transform(X, trial)

    def _embed(self, X, labels, trial):
        device = next(self.model_.parameters()).device
        gather = centred_windows(_tensor(X), trial, self.window)
        embedding = np.empty((len(X), self.n_components), np.float32)
        with torch.inference_mode():
            for bins in torch.arange(len(X)).split(_BLOCK):
                mean, log_variance = self.model_.encoder(gather(bins).to(device))
                if labels is not None:
                    prior = self.model_.label_prior(self._scaled(labels[bins.numpy()], device))
                    mean, _ = gaussian_product(mean, log_variance, *prior)
                embedding[bins.numpy()] = mean.cpu().numpy()
        return embedding

    def _scaled(self, labels, device):
        scaled = (labels - self.label_centre_) / self.label_spread_
        return torch.as_tensor(scaled, dtype=torch.float32, device=device)

    def _check_data(self, X, y, trial, **checks):
        X, y = validate_data(self, X, y, dtype=_FLOATS, multi_output=True, y_numeric=True, **checks)
        return X, np.asarray(y, np.float64).reshape(len(X), -1), check_trial(trial, len(X))

    def _check_parameters(self):
        for name in ("n_components", "window", "max_iter", "batch_size"):
            check_number(name, getattr(self, name), Integral, "an integer")
        check_number("learning_rate", self.learning_rate, Real, "a number")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @property
    def _n_features_out(self):
        return self.n_components
