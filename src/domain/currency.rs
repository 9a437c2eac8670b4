//! Currency codes, so that a code can be told from whatever else a panel writes in its place.

/// ISO 4217's codes of money that is in use.
const CODES: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD \
    CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD \
    HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD \
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG \
    QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD \
    TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG";

/// The code that a panel wrote, in any case; `None` for a sign, a word, or nothing that anybody knows.
#[must_use]
pub fn iso_code(text: &str) -> Option<&'static str> {
    CODES.split_ascii_whitespace().find(|code| code.eq_ignore_ascii_case(text.trim()))
}

/// The code that a panel wrote, where that is another currency than `configured`.
#[must_use]
pub fn other_currency(text: Option<&str>, configured: &str) -> Option<&'static str> {
    text.and_then(iso_code).filter(|code| !code.eq_ignore_ascii_case(configured))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_code_contradicts_the_configuration() {
        for (text, other) in [
            (Some("EUR"), Some("EUR")),
            (Some(" inr "), Some("INR")),
            (Some("usd"), None),
            (Some("$"), None),
            (Some("PTS"), None),
            (Some("USDT"), None),
            (Some(""), None),
            (None, None),
        ] {
            assert_eq!(other_currency(text, "USD"), other, "{text:?}");
        }
    }
}
