"""Where the final weights of a trial lie, if they are here."""

from lrd_core.trial_folder import TrialFolder, trial_folder, weights_name
from service.lifecycle import TrialState
from service.store.models import Trial


def folder_of_weights(trials: str, trial: Trial) -> TrialFolder | None:
    """The folder that has them: the trial's own, or that of the trial whose results it has. None
    where its sweep did not ask for them, or came as a bundle.

    Args:
        trials: path or fsspec URL of the trials' folders.
        trial: any.

    Raises:
        OSError: the storage does not answer.
    """
    if trial.state != TrialState.succeeded or trial.weights_sha256 is None:
        return None
    for number in filter(None, (trial.id, trial.reused_from)):
        folder = trial_folder(trials, number)
        if folder.exists(weights_name(trial.weights_sha256)):
            return folder
    return None
