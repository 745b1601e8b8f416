//! The elements of a `vector` as a JSON array, from which exactly the same elements are read again.
//!
//! The server's own text has eight digits, and a 32-bit float may need nine. So vectors arrive in the binary form of
//! TDS, and each element gets the shortest digits that name it. Where a reader that goes through a 64-bit float would
//! round twice and end at a neighbour (7.038531e-26), the digits are those of the 64-bit float that has its value.

use std::io::Write;

/// Appends a vector; false where an element is no number, which JSON and SQL Server do not have.
pub(super) fn append_json(elements: &[f32], out: &mut Vec<u8>) -> bool {
    out.push(b'[');
    for (at, &element) in elements.iter().enumerate() {
        if !element.is_finite() {
            return false;
        }
        if at > 0 {
            out.push(b',');
        }
        let start = out.len();
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{element:?}");
        let through_64_bits = std::str::from_utf8(&out[start..])
            .ok()
            .and_then(|text| text.parse::<f64>().ok());
        if through_64_bits.map(|wide| (wide as f32).to_bits()) != Some(element.to_bits()) {
            out.truncate(start);
            let _ = write!(out, "{:?}", f64::from(element));
        }
    }
    out.push(b']');
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(elements: &[f32]) -> String {
        let mut out = Vec::new();
        assert!(append_json(elements, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn elements_have_the_fewest_digits_that_name_them() {
        assert_eq!(
            text(&[0.1, -2.0, 30.0, -0.0, f32::MAX, f32::MIN_POSITIVE, 1e-45]),
            "[0.1,-2.0,30.0,-0.0,3.4028235e38,1.1754944e-38,1e-45]"
        );
        assert_eq!(text(&[1.000_000_1, 16_777_217.0]), "[1.0000001,16777216.0]");
        // The shortest digits, 7.038531e-26, become its neighbour by way of 64 bits.
        let twice = text(&[7.038_531e-26]);
        assert!(twice.len() > "[7.038531e-26]".len(), "{twice}");
        assert!(!append_json(&[1.0, f32::NAN], &mut Vec::new()));
        assert!(!append_json(&[f32::INFINITY], &mut Vec::new()));
    }

    proptest! {
        #[test]
        fn every_element_is_read_again_by_either_way(bits in proptest::collection::vec(any::<u32>(), 1..50)) {
            let elements: Vec<f32> = bits.into_iter().map(f32::from_bits).filter(|e| e.is_finite()).collect();
            let text = text(&elements);
            let body = text.trim_start_matches('[').trim_end_matches(']');
            let read: Vec<&str> = body.split(',').filter(|element| !element.is_empty()).collect();
            prop_assert_eq!(read.len(), elements.len());
            for (text, element) in read.iter().zip(&elements) {
                prop_assert_eq!(text.parse::<f32>().unwrap().to_bits(), element.to_bits());
                prop_assert_eq!((text.parse::<f64>().unwrap() as f32).to_bits(), element.to_bits());
            }
        }
    }
}
