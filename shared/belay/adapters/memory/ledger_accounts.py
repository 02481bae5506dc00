"""The twin of the tables' accounts: documents, stops, state, proofs, flows, and how far their trades were read."""

from belay.adapters.memory.books import Books, locked
from belay.adapters.records import flow_position, trade_position
from belay.domain.account import Account, OperatorStops
from belay.domain.documents import Configuration
from belay.domain.errors import Conflict, Unreadable, WrittenByLater
from belay.domain.flows import Flow
from belay.domain.proofs import Proof
from belay.domain.venues import VenueTrade
from belay.ports import Cursor, Suspicion


class AccountBooks(Books):
    """The part of `ports.Ledger` that binds orders, and what reconciliation keeps of an account."""

    # --- documents and stops -------------------------------------------------------------------

    @locked
    def accounts(self) -> tuple[str, ...]:
        return tuple(sorted(self._versions))

    @locked
    def configuration(self, account: str) -> Configuration | None:
        key = (account, self._versions.get(account, 0))
        return self._needed(self._configurations, key, f"the document of account {account}")

    @locked
    def store_configuration(self, configuration: Configuration) -> None:
        account, version = configuration.document.account, configuration.version
        if self._configurations.of_later((account, self._versions.get(account, 0))):
            raise WrittenByLater("configuration")
        if self._versions.get(account, 0) == version - 1:
            self._configurations[account, version] = configuration
            self._versions[account] = version
        elif not self._configurations.holds((account, version), configuration):
            raise Conflict("configuration")

    @locked
    def operator_stops(self, account: str) -> OperatorStops:
        return self._stops_of(account)

    @locked
    def save_operator_stops(self, stops: OperatorStops) -> None:
        if self.operator_stops(stops.account).version == stops.version - 1:
            self._operator_stops[stops.account] = stops
        elif not self._operator_stops.holds(stops.account, stops):
            raise Conflict("operators' stops")

    # --- state, proofs and flows ---------------------------------------------------------------

    @locked
    def account(self, account: str) -> Account:
        return self._account_of(account)

    @locked
    def save_account(self, account: Account) -> None:
        self._save_account(account)

    @locked
    def proof(self, account: str, fingerprint: str) -> Proof | None:
        proof = self._proofs.get((account, fingerprint))
        return proof if proof is not None and proof.understood else None

    @locked
    def store_proof(self, proof: Proof) -> None:
        key = (proof.account, proof.fingerprint)
        stored = self._proofs.get(key)
        if self._proofs.holds(key, proof):
            return
        known = (stored, self.last_proof(proof.account))
        if any(other is not None and other.completed_at > proof.completed_at for other in known):
            raise Conflict("proof")
        if self._proofs.of_later(key) or self._accounts.of_later(proof.account):
            raise WrittenByLater("proof" if self._proofs.of_later(key) else "account")
        if self.account(proof.account).version != proof.account_version:
            raise Conflict("account")
        self._proofs[key] = proof
        self._last_proofs[proof.account] = proof

    @locked
    def last_proof(self, account: str) -> Proof | None:
        return self._last_proofs.get(account)

    @locked
    def flow(self, account: str, flow_id: str) -> Flow | None:
        return self._needed(self._flows[account], flow_id, f"flow {flow_id} of account {account}")

    @locked
    def flows(self, account: str, limit: int) -> tuple[Flow, ...]:
        return self._flow_lines[account].latest(limit)

    @locked
    def record_flow(self, flow: Flow, account: Account) -> None:
        stored = self._flows[flow.account]
        if flow.flow_id in stored:
            if stored.holds(flow.flow_id, flow):
                return
            raise Conflict("flow")
        if self._accounts.holds(account.account, account):
            raise Conflict("account")  # what another wrote, which comes to the same
        self.save_account(account)
        stored[flow.flow_id] = flow
        self._flow_lines[flow.account][flow_position(flow)] = flow

    # --- reading on: cursors, trades that wait, suspicions -------------------------------------

    @locked
    def cursor(self, account: str, symbol: str) -> Cursor | None:
        what = f"the cursor of {symbol}"
        if self._cursors.of_later((account, symbol)):
            raise Unreadable(what, later=True)
        return self._needed(self._cursors, (account, symbol), what)

    @locked
    def store_cursor(self, account: str, cursor: Cursor) -> None:
        stored = self._cursors.get((account, cursor.symbol))
        if self._cursors.of_later((account, cursor.symbol)):
            raise WrittenByLater("cursor")
        if stored is None or stored.read_until <= cursor.read_until:
            self._cursors[account, cursor.symbol] = cursor

    @locked
    def unattributed_trades(self, account: str) -> tuple[VenueTrade, ...]:
        return self._unattributed[account].all(trade_position)

    @locked
    def loose_trades(self, account: str, symbol: str, limit: int | None) -> tuple[VenueTrade, ...]:
        return self._loose_lines[account, symbol].latest(limit)

    @locked
    def store_unattributed(self, account: str, trade: VenueTrade) -> None:
        if not self._unattributed[account].of_later(trade.key):
            self._unattributed[account][trade.key] = trade
            self._loose_lines[account, trade.symbol][trade_position(trade)] = trade

    @locked
    def drop_unattributed(self, account: str, trade: VenueTrade) -> None:
        self._unattributed[account].withdraw(trade.key)
        self._loose_lines[account, trade.symbol].drop(trade_position(trade))

    @locked
    def suspicion(self, account: str) -> Suspicion | None:
        suspicion = self._suspicions.get(account)
        return suspicion if suspicion is not None and suspicion.understood else None

    @locked
    def store_suspicion(self, suspicion: Suspicion) -> None:
        if self._suspicions.of_later(suspicion.account):
            raise WrittenByLater("suspicion")
        self._suspicions[suspicion.account] = suspicion
