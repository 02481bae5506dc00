"""What speaks to AWS: the ledger's tables, queues, switch, alerts, secrets, logs. Holds no rule of trading."""
