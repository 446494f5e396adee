//! Writes the small protocol-2 pickles in torch's archives.
//!
//! A pickle is a program for a stack machine. This writer uses only the few instructions that torch needs for modules
//! and tensors. It executes nothing and reads nothing.

/// A value to be pickled.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A string.
    Text(String),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A class or function, by module and name.
    Global(String, String),
    /// `callable(*arguments)`.
    Call(Box<Value>, Vec<Value>),
    /// A value (an empty dictionary, or a call that returns one) in which these keys are set.
    Entries(Box<Value>, Vec<(String, Value)>),
    /// An instance of a class, created without its constructor, with these attributes in this order.
    Object(Box<Value>, Vec<(String, Value)>),
    /// An object stored in the surrounding archive under this key.
    Persistent(Box<Value>),
}

impl Value {
    /// A string value.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A class or function.
    pub fn global(module: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Global(module.into(), name.into())
    }

    /// A tuple of sizes, for shapes and strides.
    pub fn sizes(sizes: &[usize]) -> Self {
        Self::Tuple(sizes.iter().map(|&size| Self::size(size)).collect())
    }

    /// A size or count. Nothing in memory has more than `i64::MAX` elements.
    pub fn size(size: usize) -> Self {
        Self::Int(i64::try_from(size).unwrap_or(i64::MAX))
    }
}

/// The bytes of the pickle of `value`.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = vec![0x80, 2]; // PROTO 2
    push(&mut out, value);
    out.push(b'.'); // STOP
    out
}

fn push(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::None => out.push(b'N'),
        Value::Bool(true) => out.push(0x88),
        Value::Bool(false) => out.push(0x89),
        Value::Int(number) => push_int(out, *number),
        Value::Text(text) => push_text(out, text),
        Value::Tuple(items) => push_tuple(out, items),
        Value::Global(module, name) => {
            out.push(b'c');
            out.extend_from_slice(format!("{module}\n{name}\n").as_bytes());
        }
        Value::Call(callable, arguments) => {
            push(out, callable);
            push_tuple(out, arguments);
            out.push(b'R'); // REDUCE
        }
        Value::Object(class, attributes) => {
            push(out, class);
            out.extend_from_slice(b")\x81}("); // EMPTY_TUPLE NEWOBJ EMPTY_DICT MARK
            for (name, attribute) in attributes {
                push_text(out, name);
                push(out, attribute);
            }
            out.extend_from_slice(b"ub"); // SETITEMS BUILD
        }
        Value::Entries(dictionary, entries) => {
            push(out, dictionary);
            out.push(b'('); // MARK
            for (name, value) in entries {
                push_text(out, name);
                push(out, value);
            }
            out.push(b'u'); // SETITEMS
        }
        Value::Persistent(key) => {
            push(out, key);
            out.push(b'Q'); // BINPERSID
        }
    }
}

fn push_tuple(out: &mut Vec<u8>, items: &[Value]) {
    if items.is_empty() {
        out.push(b')');
        return;
    }
    out.push(b'('); // MARK
    for item in items {
        push(out, item);
    }
    out.push(b't'); // TUPLE
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X'); // BINUNICODE
    // Names and keys are short here. The format's limit is 4 GiB.
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Writes an integer in the shortest form that torch's unpickler supports.
fn push_int(out: &mut Vec<u8>, number: i64) {
    if let Ok(small) = u8::try_from(number) {
        out.extend_from_slice(&[b'K', small]); // BININT1
    } else if let Ok(medium) = u16::try_from(number) {
        out.push(b'M'); // BININT2
        out.extend_from_slice(&medium.to_le_bytes());
    } else if let Ok(large) = i32::try_from(number) {
        out.push(b'J'); // BININT
        out.extend_from_slice(&large.to_le_bytes());
    } else {
        out.extend_from_slice(&[0x8a, 8]); // LONG1 of eight bytes
        out.extend_from_slice(&number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_tuple_is_the_four_bytes_of_torch() {
        assert_eq!(encode(&Value::Tuple(vec![])), b"\x80\x02).");
    }

    #[test]
    fn integers_take_the_shortest_form() {
        let body = |number| encode(&Value::Int(number))[2..].to_vec();
        assert_eq!(body(255), b"K\xff.");
        assert_eq!(body(256), b"M\x00\x01.");
        assert_eq!(body(65_536), b"J\x00\x00\x01\x00.");
        assert_eq!(body(-1), b"J\xff\xff\xff\xff.");
        assert_eq!(body(1 << 40), b"\x8a\x08\x00\x00\x00\x00\x00\x01\x00\x00.");
    }

    #[test]
    fn an_object_is_its_class_and_its_attributes() {
        let class = Value::global("__torch__", "Net");
        let value = Value::Object(Box::new(class), vec![("training".to_owned(), Value::Bool(false))]);
        assert_eq!(encode(&value), b"\x80\x02c__torch__\nNet\n)\x81}(X\x08\x00\x00\x00training\x89ub.");
    }

    #[test]
    fn a_call_and_a_persistent_key() {
        let key = Value::Persistent(Box::new(Value::Tuple(vec![Value::text("0")])));
        let value = Value::Call(Box::new(Value::global("m", "f")), vec![key]);
        assert_eq!(encode(&value), b"\x80\x02cm\nf\n((X\x01\x00\x00\x000tQtR.");
    }
}
