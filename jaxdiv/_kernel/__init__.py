from .categorical import cross_entropy_labels as cross_entropy_labels
from .categorical import cross_entropy_logits as cross_entropy_logits
from .categorical import entropy_logits as entropy_logits
from .categorical import kl_logits as kl_logits
from .categorical import log_ratio as log_ratio
from .categorical import log_softmax as log_softmax
from .categorical import softmax as softmax
