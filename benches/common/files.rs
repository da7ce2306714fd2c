//! Checkpoints of many small parts, written by hand.

use std::io::{Seek, SeekFrom, Write};

/// A name as a transformer has.
pub fn name(at: u64) -> String {
    format!("model.layers.{at}.self_attn.q_proj.weight")
}

/// The header of a safetensors file of `tensors` tensors, `bytes` bytes each.
pub fn safetensors_header(tensors: u64, bytes: u64) -> String {
    let infos: Vec<String> = (0..tensors)
        .map(|at| {
            let (start, end) = (at * bytes, (at + 1) * bytes);
            let name = name(at);
            format!(r#""{name}":{{"dtype":"U8","shape":[{bytes}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    format!("{{{}}}", infos.join(","))
}

/// A safetensors file without its data.
pub fn safetensors_head(tensors: u64, bytes: u64) -> Vec<u8> {
    let header = safetensors_header(tensors, bytes);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

/// A GGUF file of `tensors` tensors, `bytes` bytes each, and a vocabulary of `words`, without its data.
pub fn gguf_head(tensors: u64, bytes: u64, words: u64) -> Vec<u8> {
    let string = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let mut head = b"GGUF\x03\0\0\0".to_vec();
    head.extend(tensors.to_le_bytes());
    head.extend(u64::from(words > 0).to_le_bytes());
    if words > 0 {
        head.extend(string("tokenizer.ggml.tokens"));
        // An array of strings.
        head.extend(9_u32.to_le_bytes());
        head.extend(8_u32.to_le_bytes());
        head.extend(words.to_le_bytes());
        for at in 0..words {
            head.extend(string(&format!("word {at}")));
        }
    }
    for at in 0..tensors {
        head.extend(string(&name(at)));
        head.extend(1_u32.to_le_bytes());
        head.extend(bytes.to_le_bytes());
        // I8.
        head.extend(24_u32.to_le_bytes());
        head.extend((at * bytes).to_le_bytes());
    }
    head.resize(head.len().next_multiple_of(32), 0);
    head
}

/// The opcode for a text.
pub fn text(text: &str) -> Vec<u8> {
    let length = (text.len() as u32).to_le_bytes();
    [&b"X"[..], &length, text.as_bytes()].concat()
}

/// The opcode for an integer of 32 bits.
pub fn int(number: u32) -> Vec<u8> {
    [&b"J"[..], &number.to_le_bytes()].concat()
}

/// The pickle of a state dict: each tensor is `elements` floats in a storage of its own.
pub fn state_dict(tensors: u32, elements: u32) -> Vec<u8> {
    let mut pickle = b"\x80\x02}(".to_vec();
    for at in 0..tensors {
        pickle.extend(text(&name(at.into())));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(text("storage"));
        pickle.extend(b"ctorch\nFloatStorage\n");
        pickle.extend([text(&at.to_string()), text("cpu"), int(elements)].concat());
        pickle.extend(b"tQ");
        pickle.extend([int(0), int(elements), b"\x85".to_vec()].concat());
        pickle.extend([int(1), b"\x85\x89".to_vec()].concat());
        pickle.extend(b"ccollections\nOrderedDict\n)RtR");
    }
    pickle.extend(b"u.");
    pickle
}

/// The archive that `torch.save` makes of [`state_dict`], its members at multiples of 64 bytes.
pub fn torch_archive(tensors: u32, elements: u32) -> Vec<u8> {
    let pickle = state_dict(tensors, elements);
    let values: Vec<u8> = (0..elements)
        .flat_map(|at| (at as f32).to_le_bytes())
        .collect();
    let mut members = vec![("m/data.pkl".to_owned(), &*pickle, pickle.len() as u64)];
    members.extend((0..tensors).map(|at| (format!("m/data/{at}"), &*values, values.len() as u64)));
    members.push(("m/version".to_owned(), b"3\n", 2));
    let mut file = std::io::Cursor::new(Vec::new());
    zip(&mut file, &members);
    file.into_inner()
}

/// Writes a zip archive of members that are stored: the name, the data, and the size, of which the data
/// may be but the start: what lacks stays a hole.
pub fn zip(file: &mut (impl Write + Seek), members: &[(String, &[u8], u64)]) {
    let mut directory = Vec::new();
    for (name, data, size) in members {
        let offset = file.stream_position().unwrap() as u32;
        let sizes = [(*size as u32).to_le_bytes(); 2].concat();
        let length = (name.len() as u16).to_le_bytes();
        // As torch pads; the checksum 0 says that there is none.
        let padding = (64 - (offset as usize + 30 + name.len() + 4) % 64) % 64;
        let head = [&b"PK\x03\x04\0\0"[..], &[0; 12], &sizes, &length].concat();
        file.write_all(&head).unwrap();
        file.write_all(&(padding as u16 + 4).to_le_bytes()).unwrap();
        file.write_all(name.as_bytes()).unwrap();
        file.write_all(b"FB").unwrap();
        file.write_all(&(padding as u16).to_le_bytes()).unwrap();
        file.write_all(&vec![b'Z'; padding]).unwrap();
        file.write_all(data).unwrap();
        let hole = (size - data.len() as u64) as i64;
        file.seek(SeekFrom::Current(hole)).unwrap();
        directory.extend([&b"PK\x01\x02"[..], &[0; 16], &sizes, &length, &[0; 12]].concat());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let offset = file.stream_position().unwrap() as u32;
    file.write_all(&directory).unwrap();
    let count = [(members.len() as u16).to_le_bytes(); 2].concat();
    file.write_all(&[&b"PK\x05\x06\0\0\0\0"[..], &count].concat())
        .unwrap();
    file.write_all(&(directory.len() as u32).to_le_bytes())
        .unwrap();
    file.write_all(&offset.to_le_bytes()).unwrap();
    file.write_all(&[0; 2]).unwrap();
}
