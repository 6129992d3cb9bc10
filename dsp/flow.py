"""A channel from sound to sound, all parts of a hop in one compiled call.

The kernels that :class:`resonance.dsp.stream.BankStream` and
:class:`resonance.dsp.controller.Controller` call part by part, in the same order. From Python those
are seven calls for every part, with 130 arrays: a quarter of the time of it all.
"""

from __future__ import annotations

import numpy as np

from resonance.dsp.controller import respond
from resonance.dsp.coupled import cached, once
from resonance.dsp.hop_kernels import describe, lead, limit, pass_on
from resonance.dsp.kernels import advance, listen, rewind
from resonance.dsp.parts import edge, edges_ahead, lengths_up_to


@once
def _pass(block, out, position, ramp, late, listening, playing):  # type: ignore[no-untyped-def]
    """Listen to a block within a part, and play; return how many inputs were not finite."""
    pole_re, pole_im, z_re, z_im, energy, contrast, own_re, own_im, next_re, next_im = (
        listening.content
    )
    synth_re, synth_im, old_re, old_im, step_re, step_im = playing.content[:6]
    rewound, guarded, hold, release, unused, line = playing.content[6:]
    weights, count = (own_re, own_im, next_re, next_im), len(block)
    if not late:
        return advance(
            block, pole_re, pole_im, z_re, z_im, energy[-1], *weights, contrast[-1],
            old_re, old_im, step_re, step_im, position, ramp, rewound, guarded, hold, release, out,
        )  # fmt: skip
    heard = energy[-1, : contrast.shape[1]]
    bad = listen(block, pole_re, pole_im, z_re, z_im, heard, *weights, contrast[-1])
    for n in range(count):
        line[late + n] = block[n]
    none = unused[:0]
    advance(
        line[:count], pole_re, pole_im, synth_re, synth_im, unused, none, none, none, none, none,
        old_re, old_im, step_re, step_im, position, ramp, rewound, guarded, hold, release, out,
    )  # fmt: skip
    for n in range(late):
        line[n] = line[count + n]
    return bad


@once
def _respond(part, ended, form, listening, analysis, controller):  # type: ignore[no-untyped-def]
    """Find the gains for what follows a part."""
    parts, hop, shortest_part, shortest_hop, moving = form[0], form[2], form[5], form[6], form[7]
    z_re, z_im, energy, contrast = listening.content[2:6]
    end_re, end_im, drive, pairs, highest, fall, turns, features = analysis.content
    for k in range(end_re.shape[1]):
        end_re[-1, k], end_im[-1, k] = z_re[k], z_im[k]
    lengths = lengths_up_to(part, 1, parts, hop)
    whole, last = lengths.sum() - shortest_hop, lengths[-1] - shortest_part
    updates = np.full(1, ended)
    describe(
        energy, contrast, lengths, end_re, end_im, drive, pairs, highest, fall,
        turns[whole, last : last + 1], updates, moving, features,
    )  # fmt: skip
    respond(features, updates, controller, controller.content[-1])


@once
def _turn(part, length, kept, form, listening, playing, analysis, shares, rewinding, gains):  # type: ignore[no-untyped-def]
    """Begin a part, on the way to the weights for gains."""
    parts, hop, ramp, late = form[0], form[2], min(form[3], length), form[4]
    z_re, z_im, energy, contrast = listening.content[2:6]
    end_re, end_im = analysis.content[:2]
    old_re, old_im, step_re, step_im, rewound = playing.content[2:7]
    unused, line = playing.content[10:]
    pass_on(energy, contrast, end_re, end_im, z_re, z_im)
    unused[:] = 0.0
    limited = np.empty_like(gains)
    limit(gains, kept, limited)
    lead(limited, *shares.content, old_re, old_im, step_re, step_im)
    if late:
        edges, weights = edges_ahead(part, parts, hop, late), (old_re, old_im, step_re, step_im)
        rewind(line[:late], edges, *rewinding.content, *weights, ramp, rewound[:length])


@cached
def flow(block, out, part, position, kept, stream, controller):  # type: ignore[no-untyped-def]
    """Play a block, up to the end of a hop at most, with new gains from each part to the next.

    At the end of the hop its last gains are found, and the next hop is not begun.

    Parameters
    ----------
    block, out
        Input and output [samples].
    part, position
        Number of the part, and samples of it that are over.
    kept
        Share of the input that no gain removes.
    stream, controller
        Packed by :class:`resonance.dsp.stream.BankStream` and
        :class:`resonance.dsp.controller.Controller`.

    Returns
    -------
    tuple
        Number of the part, samples of it that are over, its length, and how many inputs were not
        finite.
    """
    form, listening, playing, analysis, shares, rewinding = stream.content
    parts, update_parts, hop, ramp, late = form[:5]
    length = edge(part + 1, parts, hop) - edge(part, parts, hop)
    start, bad = 0, 0
    while True:
        stop = min(len(block), start + length - position)
        piece, played = block[start:stop], out[start:stop]
        bad += _pass(piece, played, position, min(ramp, length), late, listening, playing)
        position += stop - start
        start = stop
        if position < length:
            break
        ended = (part + 1) % update_parts == 0
        _respond(part, ended, form, listening, analysis, controller)
        if (part + 1) % parts == 0:
            break
        part, position = part + 1, 0
        length = edge(part + 1, parts, hop) - edge(part, parts, hop)
        gains = controller.content[-1][0]
        _turn(part, length, kept, form, listening, playing, analysis, shares, rewinding, gains)
    return part, position, length, bad
