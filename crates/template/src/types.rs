//! Whether a value is of a type.

use tidegate_core::Span;

use crate::ast::{Declaration, Expr, ExprKind, Type, TypeKind, What};
use crate::eval::{Env, Evaluator, Scope};
use crate::value::{Data, Value, equal, to_text};

/// Why a value is not of a type: where, which part of it (`[2].limit`), and the rest of the sentence.
pub(crate) struct Misfit {
    pub(crate) at: Span,
    pub(crate) path: String,
    pub(crate) message: String,
}

/// How many types may lead to a type.
const ALIASES_MAX: usize = 50;

impl Evaluator<'_> {
    /// The first thing about a value that its type and decorators don't allow.
    pub(crate) fn misfit(
        &mut self,
        instance: usize,
        value: &Value,
        of: Option<&Type>,
        decorators: &[Expr],
        path: &str,
    ) -> Option<Misfit> {
        if !self.charge(1, value.span) {
            return None;
        }
        if let Some(of) = of
            && let Some(misfit) = self.wrong_type(instance, value, of, path, 0)
        {
            return Some(misfit);
        }
        let env = Env::of(Scope::Bicep(instance));
        let misfit = |message: String| Some(Misfit { at: value.span, path: path.to_owned(), message });
        for decorator in decorators {
            let (name, args) = match &decorator.kind {
                ExprKind::Call { name, args } | ExprKind::Method { name, args, .. } => (name, args),
                _ => continue,
            };
            let Some(arg) = args.first() else { continue };
            let length = match &value.data {
                Data::Text(text, _) => Some(text.encode_utf16().count()),
                Data::Array(items) => Some(items.len()),
                _ => None,
            };
            let number = match value.data {
                Data::Int(number) => Some(number),
                _ => None,
            };
            let limit = match self.eval(arg, &env).data {
                Data::Int(limit) => Some(limit),
                Data::Array(allowed) if &*name.text == "allowed" => {
                    let is = |v: &Value| allowed.iter().any(|a| equal(a, v));
                    // of an array, the items may be what is allowed
                    let fits = is(value) || matches!(&value.data, Data::Array(items) if items.iter().all(is));
                    if !fits && !value.is_null() && value.not_known().is_none() {
                        let names: Vec<_> =
                            allowed.iter().filter_map(to_text).map(|t| format!("`{t}`")).collect();
                        return misfit(format!("is not one of {}", names.join(", ")));
                    }
                    None
                }
                _ => None,
            };
            let Some(limit) = limit else { continue };
            let length = length.map(|l| i64::try_from(l).unwrap_or(i64::MAX));
            let message = match (&*name.text, number, length) {
                ("minValue", Some(n), _) if n < limit => format!("is {n}, less than {limit}"),
                ("maxValue", Some(n), _) if n > limit => format!("is {n}, more than {limit}"),
                ("minLength", _, Some(n)) if n < limit => {
                    format!("is {n} long, at least {limit} is asked for")
                }
                ("maxLength", _, Some(n)) if n > limit => format!("is {n} long, at most {limit} is allowed"),
                _ => continue,
            };
            return misfit(message);
        }
        None
    }

    fn wrong_type(
        &mut self,
        instance: usize,
        value: &Value,
        of: &Type,
        path: &str,
        aliases: usize,
    ) -> Option<Misfit> {
        if matches!(value.data, Data::Error | Data::Unknown(_)) {
            return None;
        }
        let wrong = |wanted: &str| {
            let found = if matches!(of.kind, TypeKind::Literal(_) | TypeKind::Union(_)) {
                to_text(value).filter(|t| t.len() < 60).map_or(value.kind().to_owned(), |t| format!("`{t}`"))
            } else {
                value.kind().to_owned()
            };
            let message = format!("is {found}, but its type is {wanted}");
            Some(Misfit { at: value.span, path: path.to_owned(), message })
        };
        match &of.kind {
            TypeKind::Any => None,
            TypeKind::Nullable(_) if value.is_null() => None,
            TypeKind::Nullable(inner) => self.wrong_type(instance, value, inner, path, aliases),
            TypeKind::Named(names) => {
                let first = names.first()?;
                let is_builtin = names.len() == 1 || &*first.text == "sys";
                let name = &*names.last()?.text;
                let declared = self.instances[instance].source.find(&first.text, None);
                if declared.is_none() && is_builtin {
                    let fits = match name {
                        "string" | "securestring" | "secureString" => matches!(value.data, Data::Text(..)),
                        "int" => matches!(value.data, Data::Int(_)),
                        "bool" => matches!(value.data, Data::Bool(_)),
                        "object" | "secureObject" => matches!(value.data, Data::Object(_)),
                        "array" => matches!(value.data, Data::Array(_)),
                        _ => true,
                    };
                    return if fits { None } else { wrong(name) };
                }
                if aliases > ALIASES_MAX {
                    return None;
                }
                let (instance, declaration) = self.type_of(instance, declared?, names)?;
                let What::Type(of) = &declaration.what else { return None };
                let misfit = self.wrong_type(instance, value, of, path, aliases + 1);
                misfit.or_else(|| self.misfit(instance, value, None, &declaration.decorators, path))
            }
            TypeKind::Literal(expr) => {
                let wanted = self.eval(expr, &Env::of(Scope::Bicep(instance)));
                if equal(&wanted, value) { None } else { wrong(&written(of)) }
            }
            TypeKind::Union(members) => {
                let fits =
                    members.iter().any(|m| self.wrong_type(instance, value, m, path, aliases + 1).is_none());
                if fits { None } else { wrong(&written(of)) }
            }
            TypeKind::Array(inner) => {
                let Data::Array(items) = &value.data else { return wrong(&written(of)) };
                items.iter().enumerate().find_map(|(i, item)| {
                    let path = format!("{path}[{i}]");
                    if !self.charge(1, item.span) {
                        return None;
                    }
                    self.wrong_type(instance, item, inner, &path, aliases)
                })
            }
            TypeKind::Tuple(types) => {
                let Data::Array(items) = &value.data else { return wrong(&written(of)) };
                if items.len() != types.len() {
                    let message = format!("has {} items, but its type has {}", items.len(), types.len());
                    return Some(Misfit { at: value.span, path: path.to_owned(), message });
                }
                items.iter().zip(types).enumerate().find_map(|(i, (item, of))| {
                    self.misfit(instance, item, Some(&of.value), &of.decorators, &format!("{path}[{i}]"))
                })
            }
            TypeKind::Object(properties) => {
                let Data::Object(entries) = &value.data else { return wrong("object") };
                let named = |key: &str| properties.iter().find(|p| p.name.as_deref() == Some(key));
                for property in properties.iter() {
                    let Some(name) = &property.name else { continue };
                    let nullable = matches!(property.value.value.kind, TypeKind::Nullable(_));
                    if !nullable
                        && value.get(name).is_none()
                        && !matches!(property.value.value.kind, TypeKind::Any)
                    {
                        let message = format!("has no property `{name}`, which its type asks for");
                        return Some(Misfit { at: value.span, path: path.to_owned(), message });
                    }
                }
                let other = properties.iter().find(|p| p.name.is_none());
                entries.iter().find_map(|entry| {
                    let property = named(&entry.key).or(other)?;
                    let path = format!("{path}.{}", entry.key);
                    let of = &property.value;
                    self.misfit(instance, &entry.value, Some(&of.value), &of.decorators, &path)
                })
            }
        }
    }

    /// The declaration of a type, and the instance that its names mean something in.
    fn type_of(
        &mut self,
        instance: usize,
        declaration: usize,
        names: &[crate::ast::Name],
    ) -> Option<(usize, std::rc::Rc<Declaration>)> {
        let found = self.instances[instance].source.file.declarations[declaration].clone();
        let (instance, found) = match &found.what {
            What::Imported { from, name } => {
                let (instance, declaration) = self.imported(instance, *from, name)?;
                (instance, self.instances[instance].source.file.declarations[declaration].clone())
            }
            What::Namespace { from } => {
                let library = self.library(instance, *from)?;
                let name = names.get(1)?;
                let declaration = self.exported_declaration(library, name)?;
                let found = self.instances[library].source.file.declarations[declaration].clone();
                return (names.len() == 2).then_some((library, found));
            }
            _ => (instance, found),
        };
        // into the properties of a type nobody looks here
        (names.len() == 1).then_some((instance, found))
    }
}

/// A type as Bicep writes it.
pub(crate) fn written(of: &Type) -> String {
    match &of.kind {
        TypeKind::Named(names) => names.iter().map(|n| &*n.text).collect::<Vec<_>>().join("."),
        TypeKind::Literal(expr) => match &expr.kind {
            ExprKind::Text(text, _) => format!("'{text}'"),
            ExprKind::Int(number) => number.to_string(),
            ExprKind::Bool(value) => value.to_string(),
            ExprKind::Null => "null".into(),
            _ => "another".into(),
        },
        TypeKind::Array(inner) => format!("{}[]", written(inner)),
        TypeKind::Tuple(_) => "a tuple".into(),
        TypeKind::Object(_) => "object".into(),
        TypeKind::Union(members) => members.iter().map(written).collect::<Vec<_>>().join(" | "),
        TypeKind::Nullable(inner) => format!("{}?", written(inner)),
        TypeKind::Any => "any".into(),
    }
}

/// Whether a parameter may be left out.
pub(crate) fn is_nullable(of: Option<&Type>) -> bool {
    matches!(of.map(|t| &t.kind), Some(TypeKind::Nullable(_) | TypeKind::Any))
}
