/* A C compiler, cc1 -O1, translates this machine with a stack. */

typedef enum { PUSH, ADD, SUBTRACT, MULTIPLY, COPY, SWAP, JUMP, JUMP_IF, CALL, RETURN, STOP } Kind;

typedef struct {
    Kind kind;
    long value;
} Step;

typedef struct {
    long values[256];
    int calls[64];
    int top, depth, at;
    unsigned long steps;
} Machine;

static long pop(Machine *machine) { return machine->top ? machine->values[--machine->top] : 0; }

static void push(Machine *machine, long value) {
    if (machine->top < 256) machine->values[machine->top++] = value;
}

static void two(Machine *machine, Kind kind) {
    long right = pop(machine), left = pop(machine);
    switch (kind) {
    case ADD: push(machine, left + right); break;
    case SUBTRACT: push(machine, left - right); break;
    case MULTIPLY: push(machine, left * right); break;
    default: push(machine, right); push(machine, left);
    }
}

long run(const Step *program, int length, unsigned long most) {
    Machine machine = {{0}, {0}, 0, 0, 0, 0};
    while (machine.at >= 0 && machine.at < length && machine.steps++ < most) {
        Step step = program[machine.at++];
        long value;
        switch (step.kind) {
        case PUSH: push(&machine, step.value); break;
        case ADD: case SUBTRACT: case MULTIPLY: case SWAP: two(&machine, step.kind); break;
        case COPY: value = pop(&machine); push(&machine, value); push(&machine, value); break;
        case JUMP: machine.at = (int)step.value; break;
        case JUMP_IF: if (pop(&machine)) machine.at = (int)step.value; break;
        case CALL:
            if (machine.depth < 64) machine.calls[machine.depth++] = machine.at;
            machine.at = (int)step.value;
            break;
        case RETURN: machine.at = machine.depth ? machine.calls[--machine.depth] : -1; break;
        case STOP: machine.at = -1; break;
        }
    }
    return pop(&machine);
}

int main(void) {
    const Step factorial[] = {
        {PUSH, 1}, {PUSH, 12}, {COPY, 0}, {JUMP_IF, 6}, {JUMP, 12}, {STOP, 0}, {COPY, 0},
        {PUSH, -1}, {ADD, 0}, {SWAP, 0}, {MULTIPLY, 0}, {JUMP, 2}, {STOP, 0},
    };
    return (int)(run(factorial, sizeof factorial / sizeof *factorial, 1000) & 255);
}
