"""TextCNN on frozen GloVe vectors, as DaLLME evaluates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.core.learner import register_learner
from evaluators.wordnets.learner import WordNetwork

if TYPE_CHECKING:
    from benchmark.core.wordnets.networks import Network


@register_learner("text-cnn", paper="tao2024dallme")
class TextCnn(WordNetwork):
    """Convolutions over GloVe vectors, their greatest values, dropout, a linear layer (Kim, 2014).

    From the paper (DaLLME, appendices A.2 and B.1): the network, frozen vectors, AdamW, a linear
    schedule, 20 epochs, at most 128 words. From Kim: 100 filters of each width 3, 4, 5 and dropout
    0.5, which the paper does not state.

    What the paper leaves out, and what is done here:

    * Vectors: it has GloVe of 100 dimensions. The default is 50, which a package ships;
      `text-cnn@model=glove-100d` is the paper's, where an assets directory has it.
    * Learning rate: it picks one of 1e-5, 1e-4, 5e-4, 5e-3 for each setting, on a split that it
      does not name, and says that small sets need large ones. Here it is 1e-3 for all, or, with
      `rates`, the best of these by cross-validation within the set, as `transformer-epochs` picks.
      The catalogue's `text-cnn-dallme` and `text-rnn-dallme` have the paper's grid.
    * Batch size: 8, so that ten rows make 40 steps. Of 8, 16 and 32 rows it gave the lowest loss on
      the *training* rows (SST-2, 5 and 20 per class). The last short batch of an epoch is used.
    * Schedule: from the learning rate straight to 0, without warm-up. Weight decay 0.01 on every
      trained weight, as AdamW's default; the gradient is not clipped.
    * Words: lower case, split in the manner of GloVe's corpora. Any word of the 400,000 is known,
      not only those of the set. Others are zero vectors, as are the pads of a text that is shorter
      than the widest filter. A pair is read as one text; each part keeps half the words at least.
    * Padding changes nothing: windows that reach beyond a text's end are left out of the maximum,
      as if each text were a batch of its own.
    * The last step's weights are evaluated; nothing is selected. Soft labels are trained on by
      cross-entropy with probabilities. A sigmoid for two classes, as TDD has, is not used.

    Weights are drawn as PyTorch draws them. Runs whose sets have equally many rows train side by
    side; a run's result does not depend on which others do.

    Parameters
    ----------
    model : name of word vectors in the catalogue.
    filters : filters of each width.
    widths : words that a filter spans (`3+4+5` on the command line).
    rates : learning rates to pick from, as `1e-5+1e-4`; none to take `learning_rate`.

    References
    ----------
    Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014.
    Tao et al., "Textual Dataset Distillation via Language Model Embedding", EMNLP Findings 2024.
    """

    filters: int = 100
    widths: tuple[int, ...] = (3, 4, 5)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filters < 1 or not self.widths or min(self.widths) < 1:
            raise ValueError(f"{self.filters} filters of widths {self.widths}: 1 is the least")

    def network(self) -> Network:
        """Return the convolutions."""
        from benchmark.core.wordnets.networks import Convolutions

        return Convolutions(self.filters, tuple(dict.fromkeys(self.widths)))
