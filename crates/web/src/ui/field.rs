//! Fields of forms: label above, error and hint beside the field, unit after it.

use maud::{Markup, html};

use super::icon::icon;

/// What is typed into a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Any text.
    #[default]
    Text,
    /// A password: never shown again.
    Password,
    /// A number.
    Number,
    /// A day.
    Date,
    /// Several lines.
    Long,
    /// A file to send.
    File,
}

/// A field.
#[derive(Debug, Clone, Default)]
pub struct Field<'a> {
    /// Name in the form.
    pub name: &'a str,
    /// Label.
    pub label: &'a str,
    /// What is typed.
    pub kind: Kind,
    /// What stands in it; ignored for passwords and files.
    pub value: &'a str,
    /// Whether it must be filled.
    pub required: bool,
    /// What is wrong with it, as a sentence.
    pub error: Option<&'a str>,
    /// What to type.
    pub hint: &'a str,
    /// Unit after it.
    pub unit: &'a str,
    /// The browser's `autocomplete`, e.g. `username`, `current-password`; empty for `off`.
    pub autocomplete: &'a str,
    /// Whether the page opens with the cursor in it.
    pub focus: bool,
    /// Where codes are looked up as one types (answers `[{code, name}]` to `?q=`); empty for none.
    pub pick: &'a str,
}

fn frame(field: &Field, control: Markup) -> Markup {
    html! {
        div.mk-field {
            label for=(field.name) { (field.label) @if field.required { em title="必填" { " *" } } }
            div.mk-field-line { (control) @if !field.unit.is_empty() { span.mk-muted { (field.unit) } } }
            @if let Some(error) = field.error {
                div.mk-error id={ (field.name) "-error" } { (icon("alert-circle")) span { (error) } }
            }
            @if !field.hint.is_empty() { small id={ (field.name) "-hint" } { (field.hint) } }
        }
    }
}

/// What describes the control for those who do not see it.
fn described(field: &Field) -> Option<String> {
    match (field.error.is_some(), field.hint.is_empty()) {
        (true, _) => Some(format!("{}-error", field.name)),
        (false, false) => Some(format!("{}-hint", field.name)),
        (false, true) => None,
    }
}

/// A field with its label.
pub fn field(field: &Field) -> Markup {
    let kind = match field.kind {
        Kind::Text | Kind::Long => "text",
        Kind::Password => "password",
        Kind::Number => "number",
        Kind::Date => "date",
        Kind::File => "file",
    };
    let shown = !matches!(field.kind, Kind::Password | Kind::File);
    let autocomplete = if field.autocomplete.is_empty() { "off" } else { field.autocomplete };
    let invalid = field.error.map(|_| "true");
    let control = if field.kind == Kind::Long {
        html! {
            textarea.form-control id=(field.name) name=(field.name) rows="4" required[field.required]
                autofocus[field.focus] aria-invalid=[invalid] aria-describedby=[described(field)] { (field.value) }
        }
    } else {
        html! {
            input.form-control type=(kind) id=(field.name) name=(field.name) value=[shown.then_some(field.value)]
                step=[(field.kind == Kind::Number).then_some("any")] required[field.required]
                data-pick=[(!field.pick.is_empty()).then_some(field.pick)]
                autocomplete=(autocomplete) autofocus[field.focus] aria-invalid=[invalid]
                aria-describedby=[described(field)];
        }
    };
    frame(field, control)
}

/// A choice: values and their names; with an empty first entry unless a value is set and required.
pub fn select_field(field: &Field, options: &[(String, String)]) -> Markup {
    frame(
        field,
        html! {
            select.form-select id=(field.name) name=(field.name) required[field.required] autofocus[field.focus]
                aria-invalid=[field.error.map(|_| "true")] aria-describedby=[described(field)] {
                @if !field.required || field.value.is_empty() { option value="" { "请选择" } }
                @for (value, title) in options {
                    option value=(value) selected[value == field.value] { (title) }
                }
            }
        },
    )
}

/// The row of buttons that ends a form: the one primary act, and the way back.
pub fn form_acts(label: &str, back: Option<&str>) -> Markup {
    html! {
        div.mk-form-acts {
            button.btn.btn-primary type="submit" { (label) }
            @if let Some(href) = back { a.btn href=(href) { "取消" } }
        }
    }
}
