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
from resonance.dsp.rest import silence_after


@once
def _pass(block, out, position, ramp, late, stream):  # type: ignore[no-untyped-def]
    """Listen to a block within a part, and play; return how many inputs were not finite."""
    listening, playing = stream.content[1:3]
    poles, states, energy, contrast, weights = listening.content
    late_states, shares, rewound, guarding, unused, line = playing.content
    played = (*shares, position, ramp, rewound, *guarding, out)
    if not late:
        return advance(block, *poles, *states, energy[-1], *weights, contrast[-1], *played)
    heard, count = energy[-1, : contrast.shape[1]], len(block)
    bad = listen(block, *poles, *states, heard, *weights, contrast[-1])
    for n in range(count):
        line[late + n] = block[n]
    none = unused[:0]
    advance(line[:count], *poles, *late_states, unused, none, none, none, none, none, *played)
    for n in range(late):
        line[n] = line[count + n]
    return bad


@once
def _respond(part, ended, stream, controller):  # type: ignore[no-untyped-def]
    """Find the gains for what follows a part."""
    form, listening, _, analysis = stream.content[:4]
    parts, hop, shortest_part, shortest_hop, moving = form[0], form[2], form[5], form[6], form[7]
    states, energy, contrast = listening.content[1:4]
    ends, looks, turns, features = analysis.content
    for k in range(ends[0].shape[1]):
        ends[0][-1, k], ends[1][-1, k] = states[0][k], states[1][k]
    lengths = lengths_up_to(part, 1, parts, hop)
    whole, last = lengths.sum() - shortest_hop, lengths[-1] - shortest_part
    turn, updates = turns[whole, last : last + 1], np.full(1, ended)
    describe(energy, contrast, lengths, *ends, *looks, turn, updates, moving, features)
    reading = controller.content[-2]
    respond(features, updates, controller, controller.content[-1], reading.reshape(1, 2))


@once
def _turn(part, length, kept, stream, controller):  # type: ignore[no-untyped-def]
    """Begin a part, on the way to the weights for the controller's gains."""
    form, listening, playing, analysis, to_weights, rewinding = stream.content
    gains = controller.content[-1][0]
    parts, hop, ramp, late = form[0], form[2], min(form[3], length), form[4]
    states, energy, contrast = listening.content[1:4]
    _, shares, rewound, _, unused, line = playing.content
    pass_on(energy, contrast, *analysis.content[0], *states)
    unused[:] = 0.0
    limited = np.empty_like(gains)
    limit(gains, kept, limited)
    lead(limited, *to_weights.content, *shares)
    if late:
        edges = edges_ahead(part, parts, hop, late)
        rewind(line[:late], edges, *rewinding.content, *shares, ramp, rewound[:length])


@cached
def flow(block, out, part, position, silent, kept, stream, controller):  # type: ignore[no-untyped-def]
    """Play a block, up to the end of a hop at most, with new gains from each part to the next.

    A part that is over at first gives way to the next one, with the controller's gains. At the end
    of the hop its last gains are found, and the next hop is not begun. In silence gains stay.

    Parameters
    ----------
    block, out
        Input and output [samples].
    part, position
        Number of the part, and samples of it that are over.
    silent
        Samples of digital silence up to now.
    kept
        Share of the input that no gain removes.
    stream, controller
        Packed by :class:`resonance.dsp.stream.BankStream` and
        :class:`resonance.dsp.controller.Controller`.

    Returns
    -------
    tuple
        Number of the part, samples of it that are over, its length, samples of silence up to now,
        and how many inputs were not finite.
    """
    parts, update_parts, hop, ramp, late = stream.content[0][:5]
    pause = stream.content[0][8]
    length = edge(part + 1, parts, hop) - edge(part, parts, hop)
    start, bad = 0, 0
    while True:
        if position == length:
            part, position = part + 1, 0
            length = edge(part + 1, parts, hop) - edge(part, parts, hop)
            _turn(part, length, kept, stream, controller)
        stop = min(len(block), start + length - position)
        piece, played = block[start:stop], out[start:stop]
        bad += _pass(piece, played, position, min(ramp, length), late, stream)
        silent = silence_after(piece, silent)
        position += stop - start
        start = stop
        if position < length:
            break
        if silent < pause:
            ended = (part + 1) % update_parts == 0
            _respond(part, ended, stream, controller)
        if (part + 1) % parts == 0:
            break
    return part, position, length, silent, bad
