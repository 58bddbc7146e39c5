"""Token providers: where a speaker's token comes from."""

from ambo.signin.builtin import Builtin
from ambo.signin.cognito import Cognito, CognitoError

__all__ = ["Builtin", "Cognito", "CognitoError"]
