use super::*;

#[test]
fn bytes_are_counted_in_any_number_of_them() {
    for length in [0, 1, 127, 128, 129, 255, 256, 257, 1_000, 100_000] {
        let all = vec![b'{'; length];
        assert_eq!(count(&all, b'{'), length);
        assert_eq!(count(&all, b','), 0);
        let mixed: Vec<u8> = (0..length).map(|at| b"{,x"[at % 3]).collect();
        let expected = mixed.iter().filter(|&&byte| byte == b',').count();
        assert_eq!(count(&mixed, b','), expected);
    }
}

/// Each brace but the first is a tensor of 64 bytes, each comma that stands around no field a dimension of 8; three
/// more dimensions, since `__metadata__` counts as a tensor that lacks the three commas. On 32 bits
/// a tensor takes 60.
#[test]
#[cfg(target_pointer_width = "64")]
fn room_for_tensors_and_dimensions_is_what_a_header_proves() {
    let info = |shape: &str| format!(r#"{{"dtype":"F32","shape":[{shape}],"data_offsets":[0,4]}}"#);
    for (tensors, shape, dimensions) in [
        (1, "1", 1 + 3),
        (1, "", 1 + 3),
        (1, "1,2,3", 3 + 3),
        (10, "1", 10 + 3),
        (10, "1,2,3", 30 + 3),
        (1_000, "64,64", 2_000 + 3),
        // No more than real tensors have.
        (1, "1,1,1,1,1,1,1,1,1,1,1,1", 8),
    ] {
        let infos: Vec<String> = (0..tensors)
            .map(|no| format!(r#""tensor {no}":{}"#, info(shape)))
            .collect();
        let json = format!("{{{}}}", infos.join(","));
        let cost = tensors * 64 + dimensions * 8;
        reserve(&json, &mut Builder::new(), &mut Budget::of_heap(cost)).unwrap();
        assert!(reserve(&json, &mut Builder::new(), &mut Budget::of_heap(cost - 1)).is_err());
    }
    // Braces alone are no tensors: an info takes more bytes than two.
    let braces = format!("{{\"{}\":0}}", "{".repeat(10_000));
    let most = braces.len() / LEAST_INFO;
    let cost = to_u64(most) * 64;
    assert!(reserve(&braces, &mut Builder::new(), &mut Budget::of_heap(cost - 1)).is_err());
    reserve(&braces, &mut Builder::new(), &mut Budget::of_heap(cost)).unwrap();
}
