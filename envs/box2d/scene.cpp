// A Box2D world behind C functions, for src/box2d/scene.rs. Bodies and joints are numbers in the order of their creation.
#include <Box2D/Box2D.h>

#include <new>
#include <vector>

namespace {

struct Flags {
    bool hit;      // something has touched it, ever
    bool contact;  // the last event was a beginning contact
};

class Scene : public b2ContactListener {
public:
    explicit Scene(float gravity) : world(b2Vec2(0.0f, gravity)) { world.SetContactListener(this); }

    void BeginContact(b2Contact* contact) override {
        for (Flags* flags : both(contact)) flags->hit = flags->contact = true;
    }

    void EndContact(b2Contact* contact) override {
        for (Flags* flags : both(contact)) flags->contact = false;
    }

    b2World world;
    std::vector<b2Body*> bodies;
    std::vector<Flags> flags;
    std::vector<b2RevoluteJoint*> joints;

private:
    struct Pair {
        Flags* of[2];
        Flags** begin() { return of; }
        Flags** end() { return of + 2; }
    };

    Flags* of(b2Fixture* fixture) { return &flags[reinterpret_cast<size_t>(fixture->GetBody()->GetUserData())]; }

    Pair both(b2Contact* contact) { return {{of(contact->GetFixtureA()), of(contact->GetFixtureB())}}; }
};

// Like Gymnasium's LidarCallback: the nearest fixture of category 1.
struct Ray : b2RayCastCallback {
    float32 ReportFixture(b2Fixture* fixture, const b2Vec2&, const b2Vec2&, float32 at) override {
        if ((fixture->GetFilterData().categoryBits & 1) == 0) return -1.0f;
        fraction = at;
        return at;
    }
    float32 fraction = 1.0f;
};

}  // namespace

extern "C" {

struct Surface {
    float density, friction, restitution;
    unsigned short category, mask;
};

void* relax_scene_new(float gravity) { return new (std::nothrow) Scene(gravity); }

void relax_scene_delete(void* scene) { delete static_cast<Scene*>(scene); }

int relax_scene_body(void* scene, int dynamic, float x, float y, float angle) {
    Scene& s = *static_cast<Scene*>(scene);
    b2BodyDef def;
    def.type = dynamic ? b2_dynamicBody : b2_staticBody;
    def.position.Set(x, y);
    def.angle = angle;
    def.userData = reinterpret_cast<void*>(s.bodies.size());
    s.flags.push_back({false, false});
    s.bodies.push_back(s.world.CreateBody(&def));
    return static_cast<int>(s.bodies.size()) - 1;
}

// `count` corners: two make an edge, more a convex polygon (at most eight), none a box of the half sizes in `points`.
void relax_scene_fixture(void* scene, int body, const float* points, int count, const Surface* surface) {
    Scene& s = *static_cast<Scene*>(scene);
    b2EdgeShape edge;
    b2PolygonShape polygon;
    b2FixtureDef def;
    if (count == 2) {
        edge.Set(b2Vec2(points[0], points[1]), b2Vec2(points[2], points[3]));
        def.shape = &edge;
    } else if (count == 0) {
        polygon.SetAsBox(points[0], points[1]);
        def.shape = &polygon;
    } else {
        b2Vec2 corners[b2_maxPolygonVertices];
        for (int i = 0; i < count; ++i) corners[i].Set(points[2 * i], points[2 * i + 1]);
        polygon.Set(corners, count);
        def.shape = &polygon;
    }
    def.density = surface->density;
    def.friction = surface->friction;
    def.restitution = surface->restitution;
    def.filter.categoryBits = surface->category;
    def.filter.maskBits = surface->mask;
    s.bodies[body]->CreateFixture(&def);
}

// A hinge with limit and motor; its reference angle is that of the bodies now, as pybox2d has it.
int relax_scene_hinge(void* scene, int a, int b, const float anchors[4], float lower, float upper, float torque, float speed) {
    Scene& s = *static_cast<Scene*>(scene);
    b2RevoluteJointDef def;
    def.bodyA = s.bodies[a];
    def.bodyB = s.bodies[b];
    def.localAnchorA.Set(anchors[0], anchors[1]);
    def.localAnchorB.Set(anchors[2], anchors[3]);
    def.referenceAngle = static_cast<float>(double(def.bodyB->GetAngle()) - double(def.bodyA->GetAngle()));
    def.enableLimit = def.enableMotor = true;
    def.lowerAngle = lower;
    def.upperAngle = upper;
    def.maxMotorTorque = torque;
    def.motorSpeed = speed;
    s.joints.push_back(static_cast<b2RevoluteJoint*>(s.world.CreateJoint(&def)));
    return static_cast<int>(s.joints.size()) - 1;
}

void relax_scene_motor(void* scene, int joint, float speed, float torque) {
    b2RevoluteJoint* hinge = static_cast<Scene*>(scene)->joints[joint];
    hinge->SetMotorSpeed(speed);
    hinge->SetMaxMotorTorque(torque);
}

void relax_scene_force(void* scene, int body, float x, float y, float torque) {
    b2Body* b = static_cast<Scene*>(scene)->bodies[body];
    b->ApplyForceToCenter(b2Vec2(x, y), true);
    b->ApplyTorque(torque, true);
}

void relax_scene_impulse(void* scene, int body, float x, float y, float at_x, float at_y) {
    static_cast<Scene*>(scene)->bodies[body]->ApplyLinearImpulse(b2Vec2(x, y), b2Vec2(at_x, at_y), true);
}

void relax_scene_step(void* scene, float seconds, int velocity_iterations, int position_iterations) {
    static_cast<Scene*>(scene)->world.Step(seconds, velocity_iterations, position_iterations);
}

// Position, angle, velocity, angular velocity; returns the flags: 1 awake, 2 hit, 4 in contact.
int relax_scene_state(const void* scene, int body, float state[6]) {
    const Scene& s = *static_cast<const Scene*>(scene);
    const b2Body* b = s.bodies[body];
    state[0] = b->GetPosition().x;
    state[1] = b->GetPosition().y;
    state[2] = b->GetAngle();
    state[3] = b->GetLinearVelocity().x;
    state[4] = b->GetLinearVelocity().y;
    state[5] = b->GetAngularVelocity();
    return (b->IsAwake() ? 1 : 0) | (s.flags[body].hit ? 2 : 0) | (s.flags[body].contact ? 4 : 0);
}

// Angle and speed.
void relax_scene_joint(const void* scene, int joint, float state[2]) {
    const b2RevoluteJoint* hinge = static_cast<const Scene*>(scene)->joints[joint];
    state[0] = hinge->GetJointAngle();
    state[1] = hinge->GetJointSpeed();
}

float relax_scene_ray(const void* scene, float x1, float y1, float x2, float y2) {
    Ray ray;
    static_cast<const Scene*>(scene)->world.RayCast(&ray, b2Vec2(x1, y1), b2Vec2(x2, y2));
    return ray.fraction;
}

}  // extern "C"
