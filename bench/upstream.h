/* What upstream.c and speech.c share: a peer, which is a connection with the call that is being answered on it. */

#ifndef UPSTREAM_H
#define UPSTREAM_H

#include <stddef.h>

struct bytes {
    char *data;
    size_t length, room;
};

struct peer {
    struct bytes in, out;
    unsigned long number;
    int answering, anthropic, streamed, usage;
    int chunks, gap_ms, first_ms, sent;
    char model[128];
};

void append(struct bytes *to, const char *data, size_t length);

void begin(struct peer *peer);   /* a stream's head, and what comes before the first words */
void say(struct peer *peer);     /* the next words, with their mark */
void finish(struct peer *peer);  /* how a complete stream ends */
void say_all(struct peer *peer); /* the whole answer, not streamed */
void reply(struct peer *peer, const char *status, const char *body);

#endif
