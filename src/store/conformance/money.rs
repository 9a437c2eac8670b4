//! Money that the operator moves, and the ledger as it is shown.

use super::*;
use crate::store::StoreError;
use crate::store::records::{ClientChange, Moved};

use EntryKind::{Correction, Deposit, Withdrawal};

pub(crate) async fn the_operator_moves_money(store: &AnyStore) {
    client(store, "ann", "1").await;
    for (movement, after) in [
        (movement(Deposit, "9", None), "10"),
        (movement(Withdrawal, "-4.5", None), "5.5"),
        (movement(Correction, "-0.5", None), "5"),
        (movement(Correction, "0.25", None), "5.25"),
        (movement(Withdrawal, "-5.25", None), "0"),
    ] {
        assert_eq!(store.move_money("ann", movement, NOW).await.unwrap(), Moved::Done(money(after)));
    }
    let account = store.account("ann").await.unwrap();
    assert_eq!((account.deposits, account.withdrawals, account.balance), (money("10"), money("9.75"), Money::ZERO));
    let nobody = store.move_money("nobody", movement(Deposit, "1", None), NOW).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { what: "client", .. })));
}

pub(crate) async fn a_withdrawal_never_uses_credit(store: &AnyStore) {
    client(store, "ann", "1").await;
    let credit = ClientChange { credit: Some(money("100")), ..ClientChange::default() };
    store.change_client("ann", credit).await.unwrap();
    let more = store.move_money("ann", movement(Withdrawal, "-1.00000001", None), NOW).await.unwrap();
    assert_eq!(more, Moved::NotEnoughFunds(money("1")));
    assert_eq!(store.ledger("ann", 9).await.unwrap().len(), 1);
}

pub(crate) async fn a_reference_counts_once_for_a_client(store: &AnyStore) {
    client(store, "ann", "1").await;
    client(store, "ben", "1").await;
    let paid = Movement { note: Some("by bank".into()), ..movement(Deposit, "5", Some("tx-1")) };
    assert_eq!(store.move_money("ann", paid.clone(), NOW).await.unwrap(), Moved::Done(money("6")));
    let repeat = Moved::Repeat { balance: money("6"), earlier: money("5") };
    assert_eq!(store.move_money("ann", paid.clone(), after(1)).await.unwrap(), repeat);
    let other = movement(Withdrawal, "-100", Some("tx-1"));
    assert_eq!(store.move_money("ann", other, NOW).await.unwrap(), repeat);
    assert_eq!(store.move_money("ben", paid, NOW).await.unwrap(), Moved::Done(money("6")));
    let entry = store.ledger("ann", 1).await.unwrap().remove(0);
    assert_eq!((entry.reference.as_deref(), entry.note.as_deref()), (Some("tx-1"), Some("by bank")));
}

pub(crate) async fn the_ledger_shows_its_last_entries(store: &AnyStore) {
    client(store, "ann", "1").await;
    client(store, "ben", "1").await;
    for amount in ["2", "3", "4"] {
        store.move_money("ann", movement(Deposit, amount, None), NOW).await.unwrap();
    }
    let last: Vec<_> =
        store.ledger("ann", 2).await.unwrap().iter().map(|entry| (entry.amount, entry.balance)).collect();
    assert_eq!(last, [(money("3"), money("6")), (money("4"), money("10"))]);
    assert_eq!(store.ledger("ann", 100).await.unwrap().len(), 4);
    assert!(matches!(store.ledger("nobody", 1).await, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn a_balance_that_does_not_fit_is_refused(store: &AnyStore) {
    client(store, "ann", "90000000000").await;
    let more = store.move_money("ann", movement(Deposit, "90000000000", None), NOW).await;
    assert!(matches!(more, Err(StoreError::Engine(_))), "{more:?}");
    assert_eq!(store.account("ann").await.unwrap().balance, money("90000000000"));
}
