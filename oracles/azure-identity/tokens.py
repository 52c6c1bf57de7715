"""Gets a token with Microsoft's own azure-identity from whatever the environment says, and prints it.

  tokens.py managed AUDIENCE [CLIENT_ID]
  tokens.py workload AUDIENCE

ARC_KEYS stands for the folder of the Azure Arc agent's key files, which the library has built in.
"""

import os
import sys

import msal.managed_identity
from azure.identity import ManagedIdentityCredential, WorkloadIdentityCredential

kind, audience, *rest = sys.argv[1:]
msal.managed_identity._supported_arc_platforms_and_their_prefixes[sys.platform] = os.environ["ARC_KEYS"]
if kind == "managed":
    credential = ManagedIdentityCredential(client_id=rest[0]) if rest else ManagedIdentityCredential()
else:
    credential = WorkloadIdentityCredential(disable_instance_discovery=True)
print(credential.get_token(audience + "/.default").token)
