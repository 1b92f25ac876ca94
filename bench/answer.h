/* An answer as the load client reads it: HTTP, then lines of server-sent events or one line of JSON. */

#ifndef ANSWER_H
#define ANSWER_H

#include <stddef.h>
#include <stdint.h>

struct answer {
    char *text; /* the head, then the line that is being read */
    size_t length, room, bytes;
    int status, in_body, chunked, closes, framing, streamed;
    long left;              /* of the body or of the current HTTP chunk; -1: until the connection closes */
    long chunks;            /* pieces of text so far */
    int finishes, done, disorder;
    double last_lag;
    uint64_t first_at;
};

struct numbers {
    double *value;
    size_t count, room;
};

extern struct numbers lags;    /* from the upstream's sending to our reading, of every chunk, in microseconds */
extern struct numbers jitters; /* by how much the distance of two chunks changed on the way */

void clear(struct answer *answer);
int read_bytes(struct answer *answer, const char *data, size_t length, uint64_t now); /* whether it is complete now */
int ends_at_close(const struct answer *answer);
const char *fault(const struct answer *answer, long chunks); /* why it is not what was asked for, or NULL */
void print_quantiles(const char *name, struct numbers *numbers);

#endif
