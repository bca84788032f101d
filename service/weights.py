"""Where the final weights of a trial are stored, if they are kept."""

from lrd_core.trial_folder import TrialFolder, trial_folder, weights_name
from service.lifecycle import TrialState
from service.store.models import Trial


def folder_of_weights(trials: str, trial: Trial) -> TrialFolder | None:
    """The folder with the weights: the trial's own, or that of the trial whose results it reuses.

    None if its sweep did not ask for them, or was imported as a bundle.

    Args:
        trials: path or fsspec URL of the trials' folders.
        trial: the trial.

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
