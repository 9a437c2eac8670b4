//! `tollgate verify`: whether the store holds what it must.

use std::collections::BTreeMap;

use serde::Serialize;

use super::output::{printable, talk};
use super::{Call, ExitStatus};
use crate::store::records::VerifyReport;

#[derive(Debug, Serialize)]
struct VerifyDocument {
    ok: bool,
    checked: BTreeMap<String, u64>,
    failures: Vec<String>,
}

impl From<VerifyReport> for VerifyDocument {
    fn from(report: VerifyReport) -> Self {
        Self {
            ok: report.failures.is_empty(),
            checked: report.checked.into_iter().map(|(what, count)| (what.replace(' ', "_"), count)).collect(),
            failures: report.failures,
        }
    }
}

pub(super) async fn verify(call: &Call) -> anyhow::Result<ExitStatus> {
    let document = VerifyDocument::from(call.store().await?.verify().await?);
    call.output.print(&document, || describe(&document))?;
    if document.ok {
        return Ok(ExitStatus::Done);
    }
    talk(&format!("tollgate: {} things in the store do not hold", document.failures.len()));
    Ok(ExitStatus::Failed)
}

fn describe(document: &VerifyDocument) -> String {
    let checked: Vec<String> =
        document.checked.iter().map(|(what, count)| format!("{count} {}", what.replace('_', " "))).collect();
    let mut lines = vec![format!("checked: {}", checked.join(", "))];
    lines.extend(document.failures.iter().map(|failure| printable(failure)));
    if document.ok {
        lines.push("all of it holds".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn a_verification_is_ok_only_without_failures() {
        let checked = vec![("orders", 3), ("ledger entries", 2)];
        let good = VerifyDocument::from(VerifyReport { checked: checked.clone(), failures: vec![] });
        assert_eq!(
            to_value(&good).unwrap(),
            json!({"ok": true, "checked": {"ledger_entries": 2, "orders": 3}, "failures": []})
        );
        assert_eq!(describe(&good), "checked: 2 ledger entries, 3 orders\nall of it holds");

        let bad = VerifyDocument::from(VerifyReport { checked, failures: vec!["client shop: 1 is not 2".into()] });
        assert_eq!(to_value(&bad).unwrap()["ok"], json!(false));
        assert_eq!(describe(&bad), "checked: 2 ledger entries, 3 orders\nclient shop: 1 is not 2");
    }
}
