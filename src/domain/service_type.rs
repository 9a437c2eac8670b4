//! The service types of the panel API and what an order of each carries. See `docs/protocol.md`, "Service types".

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an order's price counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Billing {
    /// The `quantity` parameter, times `runs` for drip-feed.
    Quantity,
    /// The non-empty lines of this list parameter.
    Lines(Field),
    /// The rate is the price of the whole package.
    Flat,
    /// Nothing at creation: every new post is charged by itself.
    PerPost,
}

/// An `add` parameter beyond `link`, `quantity`, `runs` and `interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// A list of comments, one a line.
    Comments,
    /// A list of user names, one a line.
    Usernames,
    /// A list of hashtags, one a line.
    Hashtags,
    /// One hashtag.
    Hashtag,
    /// One user name or profile URL.
    Username,
    /// The URL of a post.
    Media,
    /// A list of groups, one a line.
    Groups,
    /// A list of search terms.
    Keywords,
    /// Which answer of a poll.
    AnswerNumber,
    /// Where visits come from.
    Country,
    /// A device, by number.
    Device,
    /// A kind of traffic, by number.
    TypeOfTraffic,
    /// The search term of traffic from a search engine.
    GoogleKeyword,
    /// The page that visits are sent from.
    ReferringUrl,
}

impl Field {
    /// The parameter's name on the wire, inbound and outbound.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Comments => "comments",
            Self::Usernames => "usernames",
            Self::Hashtags => "hashtags",
            Self::Hashtag => "hashtag",
            Self::Username => "username",
            Self::Media => "media",
            Self::Groups => "groups",
            Self::Keywords => "keywords",
            Self::AnswerNumber => "answer_number",
            Self::Country => "country",
            Self::Device => "device",
            Self::TypeOfTraffic => "type_of_traffic",
            Self::GoogleKeyword => "google_keyword",
            Self::ReferringUrl => "referring_url",
        }
    }
}

macro_rules! service_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $billing:expr, [$($field:ident),*];)*) => {
        /// A service's type, which decides an order's parameters and price.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ServiceType {
            $($(#[$doc])* $variant,)*
        }

        impl ServiceType {
            /// Every type.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name as panels publish it, and as we list it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What an order of this type is charged by.
            #[must_use]
            pub const fn billing(self) -> Billing {
                match self { $(Self::$variant => $billing,)* }
            }

            /// The parameters an order of this type must have beside `link` and `quantity`.
            #[must_use]
            pub const fn required_fields(self) -> &'static [Field] {
                match self { $(Self::$variant => &[$(Field::$field),*],)* }
            }
        }
    };
}

service_types! {
    /// Link and quantity, and drip-feed where the service has it.
    Default = "Default", Billing::Quantity, [];
    /// A link; the rate is the price.
    Package = "Package", Billing::Flat, [];
    /// Search terms for a link.
    Seo = "SEO", Billing::Quantity, [Keywords];
    /// One unit for each comment given.
    CustomComments = "Custom Comments", Billing::Lines(Field::Comments), [Comments];
    /// Comments at one price for all.
    CustomCommentsPackage = "Custom Comments Package", Billing::Flat, [Comments];
    /// User names to mention.
    Mentions = "Mentions", Billing::Quantity, [Usernames];
    /// User names and hashtags.
    MentionsWithHashtags = "Mentions with Hashtags", Billing::Quantity, [Usernames, Hashtags];
    /// One unit for each user name given.
    MentionsCustomList = "Mentions Custom List", Billing::Lines(Field::Usernames), [Usernames];
    /// Users of one hashtag.
    MentionsHashtag = "Mentions Hashtag", Billing::Quantity, [Hashtag];
    /// Followers of one user.
    MentionsUserFollowers = "Mentions User Followers", Billing::Quantity, [Username];
    /// Likers of one post.
    MentionsMediaLikers = "Mentions Media Likers", Billing::Quantity, [Media];
    /// Likes on one user's comment.
    CommentLikes = "Comment Likes", Billing::Quantity, [Username];
    /// One unit for each reply given.
    CommentReplies = "Comment Replies", Billing::Lines(Field::Comments), [Username, Comments];
    /// Votes for one answer.
    Poll = "Poll", Billing::Quantity, [AnswerNumber];
    /// Members of the groups given.
    InvitesFromGroups = "Invites from Groups", Billing::Quantity, [Groups];
    /// New posts of one user, each charged when it appears.
    Subscriptions = "Subscriptions", Billing::PerPost, [Username];
    /// Visits, by country, device and kind.
    WebTraffic = "Web Traffic", Billing::Quantity, [Country, Device, TypeOfTraffic];
}

impl ServiceType {
    /// Reads a type as upstreams write it: any case, `_` or `-` for a blank. `None` for a name that no
    /// documentation knows: such a service is not sold, since its parameters and price would be a guess.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let wanted = normalised(text);
        Self::ALL.iter().copied().find(|kind| normalised(kind.name()) == wanted)
    }

    /// Whether an order may carry `runs` and `interval` (where its service is a drip-feed one).
    #[must_use]
    pub const fn allows_drip_feed(self) -> bool {
        matches!(self, Self::Default | Self::WebTraffic)
    }

    /// Whether `quantity` is one of its parameters.
    #[must_use]
    pub const fn takes_quantity(self) -> bool {
        matches!(self.billing(), Billing::Quantity)
    }
}

impl fmt::Display for ServiceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn normalised(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c == '_' || c == '-')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_in_any_spelling() {
        for (text, kind) in [
            ("Default", Some(ServiceType::Default)),
            ("default", Some(ServiceType::Default)),
            ("custom_comments", Some(ServiceType::CustomComments)),
            ("Custom_comments", Some(ServiceType::CustomComments)),
            ("mentions-with  hashtags", Some(ServiceType::MentionsWithHashtags)),
            ("SEO", Some(ServiceType::Seo)),
            ("web traffic", Some(ServiceType::WebTraffic)),
            ("High Quality", None),
            ("", None),
        ] {
            assert_eq!(ServiceType::parse(text), kind, "{text:?}");
        }
    }

    #[test]
    fn every_name_reads_back() {
        for kind in ServiceType::ALL {
            assert_eq!(ServiceType::parse(kind.name()), Some(*kind));
        }
    }
}
