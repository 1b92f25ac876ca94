/* Reads an answer, piece by piece as it comes from the socket, and checks that nothing of it is missing. */

#define _GNU_SOURCE
#include "answer.h"
#include "wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum framing { SIZE, DATA, DATA_END, TRAILER };

struct numbers lags, jitters;

static void note(struct numbers *numbers, double value) {
    if (numbers->count == numbers->room) {
        numbers->room = numbers->room ? numbers->room * 2 : 65536;
        numbers->value = realloc(numbers->value, numbers->room * sizeof(double));
    }
    numbers->value[numbers->count++] = value;
}

static int by_size(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

void print_quantiles(const char *name, struct numbers *numbers) {
    size_t count = numbers->count;
    if (count) qsort(numbers->value, count, sizeof(double), by_size);
    double *value = numbers->value;
    printf("\"%s\":{\"p50\":%.0f,\"p99\":%.0f,\"max\":%.0f},", name, count ? value[count / 2] : -1,
           count ? value[count - 1 - count / 100] : -1, count ? value[count - 1] : -1);
}

void clear(struct answer *answer) {
    char *text = answer->text;
    size_t room = answer->room;
    *answer = (struct answer){.text = text, .room = room, .left = -1};
}

static void keep(struct answer *answer, const char *data, size_t length) {
    if (answer->length + length + 1 > answer->room) {
        answer->room = (answer->length + length + 1) * 2;
        answer->text = realloc(answer->text, answer->room);
    }
    memcpy(answer->text + answer->length, data, length);
    answer->length += length;
    answer->text[answer->length] = 0;
}

/* Text */

static int value_of(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static void read_mark(struct answer *answer, const char *mark, uint64_t now) {
    uint64_t value = 0;
    for (int i = 1; i <= MARK_DIGITS; i++) {
        int digit = value_of(mark[i]);
        if (digit < 0) return;
        value = value << 4 | (uint64_t)digit;
    }
    double lag = (double)((now - value) & MICROSECONDS_MASK);
    if ((long)(value >> 40) != answer->chunks) answer->disorder = 1;
    note(&lags, lag);
    if (answer->chunks++)
        note(&jitters, lag > answer->last_lag ? lag - answer->last_lag : answer->last_lag - lag);
    else
        answer->first_at = now;
    answer->last_lag = lag;
}

static int names_an_end(const char *line, const char *field) {
    const char *found = strstr(line, field);
    return found && found[strlen(field) + strspn(found + strlen(field), ": ")] == '"';
}

static void read_line(struct answer *answer, const char *line, uint64_t now) {
    for (const char *mark = strchr(line, MARK); mark; mark = strchr(mark + 1, MARK)) read_mark(answer, mark, now);
    answer->finishes += names_an_end(line, "\"finish_reason\"") || names_an_end(line, "\"stop_reason\"");
    answer->done |= strncmp(line, "data: [DONE]", 12) == 0 || strncmp(line, "event: message_stop", 19) == 0;
}

static void read_text(struct answer *answer, const char *data, size_t length, uint64_t now) {
    const char *end;
    while (length && (end = memchr(data, '\n', length))) {
        size_t line = (size_t)(end - data) + 1;
        keep(answer, data, line);
        read_line(answer, answer->text, now);
        answer->length = 0;
        data += line;
        length -= line;
    }
    if (length) keep(answer, data, length);
}

/* HTTP */

static void read_head(struct answer *answer) {
    const char *head = answer->text;
    const char *length = strcasestr(head, "\r\ncontent-length:");
    answer->status = atoi(head + strcspn(head, " "));
    answer->chunked = strcasestr(head, "\r\ntransfer-encoding: chunked") != NULL;
    answer->streamed = strcasestr(head, "\r\ncontent-type: text/event-stream") != NULL;
    answer->left = answer->chunked ? 0 : length ? atol(length + 17) : -1;
    answer->closes = strcasestr(head, "\r\nconnection: close") != NULL || (!answer->chunked && !length);
    answer->in_body = 1;
    answer->length = 0;
}

/* Take the framing of a chunked body byte by byte, its data at once; returns whether the body has ended. */
static int read_chunked(struct answer *answer, const char *data, size_t length, uint64_t now) {
    while (length) {
        if (answer->framing == DATA) {
            size_t part = length < (size_t)answer->left ? length : (size_t)answer->left;
            read_text(answer, data, part, now);
            answer->left -= (long)part;
            data += part;
            length -= part;
            if (!answer->left) answer->framing = DATA_END;
            continue;
        }
        char byte = *data++;
        length--;
        if (answer->framing == SIZE && value_of((char)(byte | 0x20)) >= 0)
            answer->left = answer->left << 4 | value_of((char)(byte | 0x20));
        if (byte != '\n') continue;
        if (answer->framing == TRAILER) return 1;
        answer->framing = answer->framing == DATA_END ? SIZE : answer->left ? DATA : TRAILER;
    }
    return 0;
}

static int read_body(struct answer *answer, const char *data, size_t length, uint64_t now) {
    if (answer->chunked) return read_chunked(answer, data, length, now);
    read_text(answer, data, length, now);
    if (answer->left < 0) return 0;
    answer->left -= (long)length;
    return answer->left <= 0;
}

int read_bytes(struct answer *answer, const char *data, size_t length, uint64_t now) {
    size_t before = answer->length;
    answer->bytes += length;
    if (!answer->in_body) {
        keep(answer, data, length);
        char *end = strstr(answer->text, "\r\n\r\n");
        if (!end) return 0;
        size_t head = (size_t)(end - answer->text) + 4;
        *end = 0;
        read_head(answer);
        data += head - before;
        length -= head - before;
    }
    int complete = read_body(answer, data, length, now);
    if (complete && answer->length) read_line(answer, answer->text, now); /* JSON has no line's end */
    return complete;
}

int ends_at_close(const struct answer *answer) {
    return answer->in_body && !answer->chunked && answer->left < 0;
}

const char *fault(const struct answer *answer, long chunks) {
    if (answer->status != 200) {
        fprintf(stderr, "status %d: %.300s\n", answer->status, answer->text ? answer->text : "");
        return "status";
    }
    if (answer->disorder) return "order";
    if (answer->chunks != chunks) return "chunks";
    if (answer->finishes != 1) return "finish";
    return answer->streamed && !answer->done ? "done" : NULL;
}
