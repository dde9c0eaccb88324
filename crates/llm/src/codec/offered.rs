//! The tools of a request that a provider can be offered, the same for every dialect.

use crate::neutral::{Dialect, Field, Losses, Request, Tool, ToolKind};

/// The tools of `request` for a provider of the dialect `own`: each name once, because providers refuse a
/// request that has one twice, and none that only another vendor's service runs. What is left out is a loss.
pub(super) fn offered<'a>(request: &'a Request, own: Dialect, losses: &mut Losses) -> Vec<&'a Tool> {
    let list = request.origin.field(Field::Tools);
    let mut offered: Vec<&Tool> = Vec::with_capacity(request.tools.len());
    for (place, tool) in request.tools.iter().enumerate() {
        let is_other =
            |other: &&Tool| other.name == tool.name && !matches!(other.kind, ToolKind::Foreign(..));
        match &tool.kind {
            ToolKind::Foreign(origin, _) if *origin != own => {
                losses.meaning(format_args!("{list}[{place}]"), "only its own provider runs this tool");
            }
            ToolKind::Function | ToolKind::Custom(_) | ToolKind::WebSearch
                if offered.iter().any(is_other) =>
            {
                losses.meaning(format_args!("{list}[{place}]"), "a tool of this name is offered already");
            }
            _ => offered.push(tool),
        }
    }
    offered
}
