"""The ledger's accounts: documents, stops, state, proofs, flows, and how far their trades were read."""

from belay.adapters.aws import items, keys
from belay.adapters.aws.conditions import (
    absent_or,
    at_version,
    raise_later,
    unless_repeated,
)
from belay.adapters.aws.ledger_reading import TableReader, if_understood, needed, record_at
from belay.adapters.aws.table import ABSENT, Item, Part
from belay.adapters.records import trade_position
from belay.domain.account import Account, OperatorStops
from belay.domain.documents import Configuration
from belay.domain.errors import Unreadable, WrittenByLater
from belay.domain.flows import Flow
from belay.domain.proofs import Proof
from belay.domain.record import iso
from belay.domain.venues import VenueTrade
from belay.ports import Cursor, Suspicion

# How many times as many loose trades are read where they are not listed by symbol.
OLD_PLACES = 10


class AccountTables(TableReader):
    """The part of `ports.Ledger` that binds orders, and what reconciliation keeps of an account."""

    # --- documents and stops -------------------------------------------------------------------

    def accounts(self) -> tuple[str, ...]:
        return tuple(item.sk for item in self._configuration.partition(keys.ACCOUNTS))

    def configuration(self, account: str) -> Configuration | None:
        what = f"the document of account {account}"
        return needed(self._configuration, Configuration, keys.account(account), keys.CONFIGURATION, what)

    def store_configuration(self, configuration: Configuration) -> None:
        table, version = self._configuration, configuration.version
        current = items.configuration(configuration)
        history = items.configuration(configuration, keys.configuration(version))
        listed = items.listed(configuration.document.account)
        lost = table.write(
            [
                Part("configuration", table.putting(current, at_version(version - 1))),
                Part("configuration", table.putting(history, ABSENT)),
                Part("accounts", table.putting(listed)),
            ]
        )
        unless_repeated(lost, current.body)

    def operator_stops(self, account: str) -> OperatorStops:
        what = f"the operators' stops of account {account}"
        stored = needed(self._configuration, OperatorStops, keys.account(account), keys.STOPS, what)
        return stored or OperatorStops(account=account)

    def save_operator_stops(self, stops: OperatorStops) -> None:
        item = items.stops(stops)
        lost = self._configuration.put(item, at_version(stops.version - 1), "operators' stops")
        unless_repeated(lost, item.body)

    # --- state, proofs and flows ---------------------------------------------------------------

    def account(self, account: str) -> Account:
        what = f"the state of account {account}"
        stored = needed(self._accounts, Account, keys.account(account), keys.STATE, what)
        return stored or Account(account=account)

    def save_account(self, account: Account) -> None:
        item = items.account(account)
        if not account.understood and not self._changes_stops_only(account, item):
            raise WrittenByLater("account")
        lost = self._accounts.put(item, at_version(account.version - 1), "account")
        unless_repeated(lost, item.body)

    def _changes_stops_only(self, account: Account, item: Item) -> bool:
        """Or was written already, by a try whose response was lost."""
        stored = self.account(account.account)
        return account.differs_in_stops_only(stored) or stored.text == item.body

    def proof(self, account: str, fingerprint: str) -> Proof | None:
        return if_understood(record_at(self._accounts, Proof, keys.account(account), keys.proof(fingerprint)))

    def store_proof(self, proof: Proof) -> None:
        table, completed, item = self._accounts, iso(proof.completed_at), items.proof(proof)
        not_older = absent_or("completed_at <= :completed", {":completed": completed})
        unchanged = at_version(proof.account_version)
        lost = table.write(
            [
                Part("proof", table.putting(item, not_older)),
                Part("proof", table.putting(items.proof(proof, keys.LAST_PROOF), not_older)),
                Part("account", table.checking(keys.account(proof.account), keys.STATE, unchanged)),
            ]
        )
        unless_repeated(lost, item.body)

    def last_proof(self, account: str) -> Proof | None:
        return if_understood(record_at(self._accounts, Proof, keys.account(account), keys.LAST_PROOF))

    def flow(self, account: str, flow_id: str) -> Flow | None:
        what = f"flow {flow_id} of account {account}"
        return needed(self._accounts, Flow, keys.account(account), keys.flow(flow_id), what)

    def flows(self, account: str, limit: int) -> tuple[Flow, ...]:
        found = self._accounts.standing(keys.account(account), keys.FLOWS, limit, latest=True)
        return self._listed(Flow, account, found)

    def record_flow(self, flow: Flow, account: Account) -> None:
        item, table = items.flow(flow), self._accounts
        lost = table.write(
            [
                Part("flow", table.putting(item, ABSENT)),
                Part("account", table.putting(items.account(account), at_version(account.version - 1))),
            ]
        )
        unless_repeated(lost, item.body)

    # --- reading on: cursors, trades that wait, suspicions -------------------------------------

    def cursor(self, account: str, symbol: str) -> Cursor | None:
        what = f"the cursor of {symbol}"
        cursor = needed(self._accounts, Cursor, keys.account(account), keys.cursor(symbol), what)
        if cursor is not None and not cursor.understood:
            raise Unreadable(what, later=True)
        return cursor

    def store_cursor(self, account: str, cursor: Cursor) -> None:
        not_later = absent_or("read_until <= :until", {":until": iso(cursor.read_until)})
        raise_later(self._accounts.put(items.cursor(account, cursor), not_later, "cursor"))

    def unattributed_trades(self, account: str) -> tuple[VenueTrade, ...]:
        found = self._listed(VenueTrade, account, self._accounts.standing(keys.account(account), keys.UNATTRIBUTED))
        return tuple(sorted(found, key=trade_position))

    def loose_trades(self, account: str, symbol: str, limit: int | None) -> tuple[VenueTrade, ...]:
        pk = keys.account(account)
        found = self._accounts.standing(pk, keys.loose(symbol), limit, latest=True)
        # Where 0.1 stored them, whichever their symbol: by time alone.
        before = self._accounts.standing(pk, f"{keys.UNATTRIBUTED}2", limit and OLD_PLACES * limit, latest=True)
        trades = {trade.key: trade for trade in self._listed(VenueTrade, account, (*found, *before))}
        of_symbol = (trade for trade in trades.values() if trade.symbol == symbol)
        return tuple(sorted(of_symbol, key=trade_position, reverse=True)[:limit])

    def store_unattributed(self, account: str, trade: VenueTrade) -> None:
        self._accounts.put(items.unattributed(account, trade))

    def drop_unattributed(self, account: str, trade: VenueTrade) -> None:
        self._accounts.withdraw(keys.account(account), keys.unattributed(trade))

    def suspicion(self, account: str) -> Suspicion | None:
        return if_understood(record_at(self._accounts, Suspicion, keys.account(account), keys.SUSPICION))

    def store_suspicion(self, suspicion: Suspicion) -> None:
        raise_later(self._accounts.put(items.suspicion(suspicion), what="suspicion"))
