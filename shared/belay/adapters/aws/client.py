"""How every AWS client is configured. Makes no client and reads no setting of its own."""

from botocore.config import Config


def client_configuration() -> Config:
    """Give up within seconds, not the SDK's minutes, so that a stuck call fits into a function's timeout.

    Region, credentials and endpoint come from the SDK's own environment variables.
    """
    return Config(
        connect_timeout=1,
        read_timeout=2,
        retries={"total_max_attempts": 3, "mode": "standard"},
        tcp_keepalive=True,
    )
