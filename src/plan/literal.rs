//! Whether a literal fits the port that it is given to. The SDK does not check this; the service and scripts do, after
//! minutes of waiting (reference, section 3.6).

use crate::diagnostic::suggest;
use crate::spec::io::{Port, PortType};

/// What is wrong with the text as a value of that port, and what would be right.
pub(super) fn misfit(port: &Port, text: &str) -> Option<(String, String)> {
    let name = &port.name.value;
    let number = || text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
    let whole = || text.trim().parse::<i128>().ok();
    let fits = match port.kind {
        PortType::Integer => whole().is_some(),
        PortType::Number => number().is_some(),
        PortType::Boolean => matches!(text.to_lowercase().as_str(), "true" | "false"),
        _ => true,
    };
    if !fits {
        let message = format!("'{text}' is no value for the input '{name}' of type {}", port.kind);
        let help = match port.kind {
            PortType::Integer => "write a whole number, such as 10",
            PortType::Number => "write a number, such as 0.001",
            _ => "write true or false",
        };
        return Some((message, help.to_owned()));
    }
    if let Some(x) = number() {
        if let Some(min) = port.min.filter(|min| x < *min) {
            return Some((
                format!("{text} is below the least value of '{name}'"),
                format!("it must be at least {min}"),
            ));
        }
        if let Some(max) = port.max.filter(|max| x > *max) {
            return Some((
                format!("{text} is above the greatest value of '{name}'"),
                format!("it must be at most {max}"),
            ));
        }
    }
    if !port.one_of.is_empty() && !port.one_of.iter().any(|allowed| allowed == text) {
        let words = port.one_of.iter().map(String::as_str);
        let help = match suggest::nearest(text, words.clone()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("it can be {}", suggest::one_of(words)),
        };
        return Some((format!("'{text}' is not among the values of the input '{name}'"), help));
    }
    None
}
