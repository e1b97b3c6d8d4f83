//! Address ranges as zones: `10.0.0.0/17` stands for the reverse zones that cover it.

use std::net::IpAddr;

/// An address range, with the bits behind the prefix cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Reads `ADDRESS/PREFIX`. `None` if it is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = prefix.trim_start_matches('0');
        let prefix: u8 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        let address = match address {
            IpAddr::V4(v4) if prefix <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::from((u32::from(v4) & mask).to_be_bytes())
            }
            IpAddr::V6(v6) if prefix <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::from((u128::from(v6) & mask).to_be_bytes())
            }
            _ => return None,
        };
        Some(Self { address, prefix })
    }

    /// The reverse zones that together are this range, in order. DNS cuts reverse zones at 8 bits for IPv4 and at 4 for
    /// IPv6, so that a range in between needs several: at most 128.
    pub fn reverse_zones(&self) -> Vec<String> {
        let digit = match self.address {
            IpAddr::V4(_) => 8,
            IpAddr::V6(_) => 4,
        };
        let prefix = self.prefix.next_multiple_of(digit);
        let count = 1_u32 << (prefix - self.prefix);
        (0..count).map(|index| self.reverse_zone(prefix, index)).collect()
    }

    /// The reverse zone of the `index`-th range of length `prefix` within this one.
    fn reverse_zone(&self, prefix: u8, index: u32) -> String {
        match self.address {
            IpAddr::V4(v4) => {
                let offset = index.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                let bytes = (u32::from(v4) | offset).to_be_bytes();
                let labels = bytes[..usize::from(prefix / 8)].iter().rev().map(u8::to_string);
                labels.chain(["in-addr.arpa.".to_owned()]).collect::<Vec<_>>().join(".")
            }
            IpAddr::V6(v6) => {
                let offset = u128::from(index).checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                let bytes = (u128::from(v6) | offset).to_be_bytes();
                let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(usize::from(prefix / 4));
                let labels: Vec<_> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
                labels.into_iter().rev().chain(["ip6.arpa.".to_owned()]).collect::<Vec<_>>().join(".")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn zones(text: &str) -> Option<Vec<String>> {
        Cidr::parse(text).map(|cidr| cidr.reverse_zones())
    }

    /// From the reference's `plugin/pkg/cidr/cidr_test.go` and `plugin/normalize_test.go`.
    #[test]
    fn ranges_as_the_reference_splits_them() {
        let table: &[(&str, &[&str])] = &[
            ("10.0.0.0/15", &["0.10.in-addr.arpa.", "1.10.in-addr.arpa."]),
            ("10.0.0.0/16", &["0.10.in-addr.arpa."]),
            ("10.0.0.0/8", &["10.in-addr.arpa."]),
            ("192.168.1.1/23", &["0.168.192.in-addr.arpa.", "1.168.192.in-addr.arpa."]),
            (
                "10.129.60.0/22",
                &[
                    "60.129.10.in-addr.arpa.",
                    "61.129.10.in-addr.arpa.",
                    "62.129.10.in-addr.arpa.",
                    "63.129.10.in-addr.arpa.",
                ],
            ),
            ("2001:db8::/31", &["8.b.d.0.1.0.0.2.ip6.arpa.", "9.b.d.0.1.0.0.2.ip6.arpa."]),
            (
                "2001:db8::/30",
                &[
                    "8.b.d.0.1.0.0.2.ip6.arpa.",
                    "9.b.d.0.1.0.0.2.ip6.arpa.",
                    "a.b.d.0.1.0.0.2.ip6.arpa.",
                    "b.b.d.0.1.0.0.2.ip6.arpa.",
                ],
            ),
            (
                "2001:db8::/115",
                &[
                    "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.",
                    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.",
                ],
            ),
            ("2001:db8::/112", &["0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."]),
            ("0.0.0.0/0", &["in-addr.arpa."]),
            ("2001::/0", &["ip6.arpa."]),
            ("10.1.2.3/32", &["3.2.1.10.in-addr.arpa."]),
            ("10.0.0.0/08", &["10.in-addr.arpa."]),
            ("254.0.0.0/7", &["254.in-addr.arpa.", "255.in-addr.arpa."]),
        ];
        for (text, expected) in table {
            assert_eq!(zones(text).unwrap(), *expected, "{text}");
        }
        assert_eq!(zones("10.0.0.0/1").unwrap().len(), 128);
        assert_eq!(zones("10.9.3.0/18").unwrap().len(), 64);
    }

    #[test]
    fn other_text_is_no_range() {
        for text in [
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.0/+8",
            "010.0.0.0/8",
            "::1/129",
            "a/8",
            "/8",
            "10.0.0.0/8/8",
            "fe80::1%lo/64",
        ] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }
}
