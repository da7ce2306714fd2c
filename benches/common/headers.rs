//! Files whose headers are read by the benchmarks of opening: safetensors and GGUF with many tensors or a
//! large vocabulary.

#![allow(missing_docs, dead_code, unreachable_pub)]

/// Names as a checkpoint of a transformer has them.
pub fn name(at: u64) -> String {
    const PARTS: [&str; 9] = [
        "self_attn.q_proj.weight",
        "self_attn.k_proj.weight",
        "self_attn.v_proj.weight",
        "self_attn.o_proj.weight",
        "mlp.gate_proj.weight",
        "mlp.up_proj.weight",
        "mlp.down_proj.weight",
        "input_layernorm.weight",
        "post_attention_layernorm.weight",
    ];
    format!("model.layers.{}.{}", at / 9, PARTS[(at % 9) as usize])
}

/// A header of safetensors without data: `tensors` matrices of no rows, about 100 bytes each.
pub fn safetensors_header(tensors: u64) -> String {
    let infos: Vec<String> = (0..tensors)
        .map(|at| {
            let name = name(at);
            format!(r#""{name}":{{"dtype":"BF16","shape":[0,4096],"data_offsets":[0,0]}}"#)
        })
        .collect();
    let mut header = format!("{{{}}}", infos.join(","));
    // Padded as the official writer does, so that the data is aligned.
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    header
}

/// The length of a header, then the header.
pub fn safetensors_file(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

/// The GGUF files of the marks: tensors, tokens, whether there are merges.
pub const GGUF_FILES: [(&str, u64, u64, bool); 3] = [
    ("a", 300, 32_000, true),
    ("b", 10_000, 1_000, false),
    ("c", 1_000, 262_144, true),
];

/// A GGUF file of version 3 whose tensors have no data but one block, and with a vocabulary: tokens, scores,
/// types and, if asked for, as many merges.
pub fn gguf_file(tensors: u64, tokens: u64, merges: bool) -> Vec<u8> {
    let string = |file: &mut Vec<u8>, text: &str| {
        file.extend((text.len() as u64).to_le_bytes());
        file.extend(text.as_bytes());
    };
    let array = |file: &mut Vec<u8>, key: &str, element: u32, count: u64| {
        string(file, key);
        file.extend(9_u32.to_le_bytes());
        file.extend(element.to_le_bytes());
        file.extend(count.to_le_bytes());
    };
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend(tensors.to_le_bytes());
    file.extend((4 + u64::from(merges)).to_le_bytes());
    string(&mut file, "general.architecture");
    file.extend(8_u32.to_le_bytes());
    string(&mut file, "llama");
    array(&mut file, "tokenizer.ggml.tokens", 8, tokens);
    for at in 0..tokens {
        string(&mut file, &token(at));
    }
    array(&mut file, "tokenizer.ggml.scores", 6, tokens);
    for at in 0..tokens {
        file.extend((-(at as f32)).to_le_bytes());
    }
    array(&mut file, "tokenizer.ggml.token_type", 5, tokens);
    for at in 0..tokens {
        file.extend((1 + (at % 6) as i32).to_le_bytes());
    }
    if merges {
        array(&mut file, "tokenizer.ggml.merges", 8, tokens);
        for at in 0..tokens {
            let pair = format!("{} {}", token(at), token(at.wrapping_mul(7) % tokens));
            string(&mut file, &pair);
        }
    }
    for at in 0..tensors {
        const PARTS: [&str; 9] = [
            "attn_q",
            "attn_k",
            "attn_v",
            "attn_output",
            "ffn_gate",
            "ffn_up",
            "ffn_down",
            "attn_norm",
            "ffn_norm",
        ];
        let name = format!("blk.{}.{}.weight", at / 9, PARTS[(at % 9) as usize]);
        string(&mut file, &name);
        file.extend(2_u32.to_le_bytes());
        file.extend(32_u64.to_le_bytes());
        file.extend(1_u64.to_le_bytes());
        file.extend(8_u32.to_le_bytes());
        file.extend((at * 64).to_le_bytes());
    }
    file.resize(file.len().next_multiple_of(32), 0);
    file.resize(file.len() + tensors as usize * 64, 0);
    file
}

/// Where the data of such a file starts.
pub fn gguf_header_bytes(file: &[u8], tensors: u64) -> usize {
    file.len() - tensors as usize * 64
}

/// A token as vocabularies have them: short words, two in five not in ASCII.
fn token(at: u64) -> String {
    let mut word = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let length = 2 + word % 7;
    let letters: &[char] = match at % 5 {
        0 => &['а', 'е', 'н', 'о', 'р', 'с', 'т', 'и'],
        1 => &['的', '一', '是', '不', '了', '人', '我', '在'],
        _ => &['a', 'e', 'n', 'o', 'r', 's', 't', 'i'],
    };
    let mut text = String::from(if at.is_multiple_of(2) { "Ġ" } else { "" });
    for _ in 0..length {
        word = word.rotate_left(9).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        text.push(letters[(word >> 61) as usize]);
    }
    text
}
