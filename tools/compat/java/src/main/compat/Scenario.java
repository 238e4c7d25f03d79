package compat;

/** One behaviour that a client must see; returns when it was seen, throws when it was not. */
interface Scenario {
    void run(World world) throws Exception;
}
