//! What a caller asks of the panel, and how it asks.

use std::fmt;

/// An action of the panel API. See `docs/protocol.md`, "Actions".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The list of services.
    Services,
    /// A new order.
    Add,
    /// The status of one order or of many.
    Status,
    /// A refill of one order or of many.
    Refill,
    /// The status of one refill or of many.
    RefillStatus,
    /// A cancel of many orders.
    Cancel,
    /// The list of the account's orders, which few panels give.
    Orders,
    /// The account's balance.
    Balance,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 8] = [
        Self::Services,
        Self::Add,
        Self::Status,
        Self::Refill,
        Self::RefillStatus,
        Self::Cancel,
        Self::Orders,
        Self::Balance,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Add => "add",
            Self::Status => "status",
            Self::Refill => "refill",
            Self::RefillStatus => "refill_status",
            Self::Cancel => "cancel",
            Self::Orders => "orders",
            Self::Balance => "balance",
        }
    }

    /// Reads the word on the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The parameters of one call, from its body and its query string.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a form body and a query string; where both carry a name, the body wins.
    pub(super) fn read(body: &[u8], query: &str) -> Self {
        let pairs = form_urlencoded::parse(body).chain(form_urlencoded::parse(query.as_bytes()));
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// A parameter without blanks around it; nothing where it is absent or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    /// The IDs of a comma-separated list; nothing where the parameter is absent.
    pub(super) fn list(&self, name: &str) -> Option<Vec<&str>> {
        Some(self.get(name)?.split(',').map(str::trim).filter(|id| !id.is_empty()).collect())
    }

    /// All but the account's key and the action: what describes an order.
    pub(super) fn of_order(&self) -> Vec<(String, String)> {
        self.0.iter().filter(|(name, _)| name != "key" && name != "action").cloned().collect()
    }

    /// How many IDs the call carries.
    pub(super) fn id_count(&self) -> usize {
        ["orders", "refills"]
            .iter()
            .find_map(|name| self.list(name))
            .map_or_else(|| usize::from(self.get("order").or(self.get("refill")).is_some()), |ids| ids.len())
    }
}
